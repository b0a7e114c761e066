package fleet

import (
	"time"
)

// Role is what a user may do.
type Role string

// The roles, each including what the ones before it may do.
const (
	RoleViewer     Role = "viewer"     // sees everything
	RoleTechnician Role = "technician" // and sends ping, restart and maintenance
	RoleOperator   Role = "operator"   // and sends every command
	RoleAdmin      Role = "admin"      // and registers kiosks, issues tokens, manages users
)

// Scope is what an API token may do.
type Scope string

// The scopes, each including the ones before it.
const (
	ScopeRead    Scope = "read"
	ScopeCommand Scope = "command"
	ScopeAdmin   Scope = "admin"
)

// Scopes lists every scope.
func Scopes() []Scope { return []Scope{ScopeRead, ScopeCommand, ScopeAdmin} }

// Role returns the role with the same rights.
func (s Scope) Role() Role {
	switch s {
	case ScopeAdmin:
		return RoleAdmin
	case ScopeCommand:
		return RoleOperator
	}
	return RoleViewer
}

// Roles lists every role, least first.
func Roles() []Role { return []Role{RoleViewer, RoleTechnician, RoleOperator, RoleAdmin} }

// Includes reports whether r may do everything that needed may do.
func (r Role) Includes(needed Role) bool {
	rank := func(x Role) int {
		for i, y := range Roles() {
			if x == y {
				return i
			}
		}
		return -1
	}
	return rank(r) >= 0 && rank(r) >= rank(needed)
}

// User is a person who may log in.
type User struct {
	ID           int64
	Name         string
	Role         Role
	PasswordHash string // PHC string of argon2id
	CreatedAt    time.Time
}

// Principal is who makes a request: a user with a session, or an API token.
type Principal struct {
	Name  string // user name, or token:<name>
	Role  Role
	Token bool // authenticated by an API token
}

// WebSession is a logged-in browser. Only a hash of its secret is stored.
type WebSession struct {
	Hash      string
	UserID    int64
	CreatedAt time.Time
	ExpiresAt time.Time
}

// APIToken lets a script in. Only a hash of its secret is stored.
type APIToken struct {
	ID         string
	Name       string
	Scope      Scope
	Hash       string
	CreatedAt  time.Time
	ExpiresAt  *time.Time
	LastUsedAt *time.Time
}

// EnrollmentToken lets kiosks whose serials match a pattern fetch certificates. Only a hash of its
// secret is stored.
type EnrollmentToken struct {
	ID            string
	Hash          string
	SerialPattern string // glob: * and ? and [a-z]
	MaxUses       int
	Uses          int
	// MayRegister lets it register serials that are not registered yet; only the development token does.
	MayRegister bool
	CreatedAt   time.Time
	ExpiresAt   time.Time
}
