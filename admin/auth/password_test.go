package auth

import (
	"regexp"
	"strings"
	"testing"
)

func TestAPasswordsHashIsAPHCString(t *testing.T) {
	phc := HashPassword("correct horse")
	if !regexp.MustCompile(`^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$`).MatchString(phc) {
		t.Errorf("hash = %s", phc)
	}
	if HashPassword("correct horse") == phc {
		t.Error("two hashes of a password are the same: no salt")
	}
	if !checkPassword(phc, "correct horse") {
		t.Error("the right password is refused")
	}
	for _, wrong := range []string{"", "correct horsf", "correct horse\x00"} {
		if checkPassword(phc, wrong) {
			t.Errorf("%q is accepted", wrong)
		}
	}
}

// referenceHash is "password" with the salt "somesalt" and little cost.
//
// Source: test.c of the argon2 reference implementation.
const referenceHash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"

// What another program wrote, with other costs, is read as well.
func TestAHashOfTheReferenceImplementation(t *testing.T) {
	if !checkPassword(referenceHash, "password") || checkPassword(referenceHash, "passwort") {
		t.Error("the reference's hash is not understood")
	}
}

func TestADamagedHashLetsNobodyIn(t *testing.T) {
	good := referenceHash
	damaged := map[string]string{"empty": "", "plain": "password", "dollars": "$$$$$"}
	for name, change := range map[string][2]string{
		"another function": {"argon2id", "argon2i"}, "another version": {"v=19", "v=16"}, "no version": {"v=19", ""},
		"no passes": {"t=2", "t=0"}, "no lanes": {"p=1", "p=0"}, "no costs": {"m=256,t=2,p=1", ""}, "too many lanes": {"p=1", "p=300"},
		"bad salt": {"c29tZXNhbHQ", "!!"}, "bad key": {"nf65", "!!"}, "no key": {"nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", ""},
		"one part more": {"$v=19", "$x$v=19"},
	} {
		damaged[name] = strings.Replace(good, change[0], change[1], 1)
	}
	for name, phc := range damaged {
		if phc == good {
			t.Fatalf("%s is not damaged", name)
		}
		for _, password := range []string{"password", ""} {
			if checkPassword(phc, password) {
				t.Errorf("%s: %q is accepted", name, password)
			}
		}
	}
}

func TestSecretsAreLongAndNew(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		secret, id := NewSecret(), NewID()
		if len(secret) != 43 || len(id) != 12 || seen[secret] || seen[id] {
			t.Fatalf("secret %s, id %s", secret, id)
		}
		seen[secret], seen[id] = true, true
		if strings.ContainsAny(id, ".-_") {
			t.Errorf("id %s does not fit into a token's text or looks like a flag", id)
		}
		gotID, gotSecret, err := parseAPIToken(formatAPIToken(id, secret))
		if err != nil || gotID != id || gotSecret != secret {
			t.Errorf("%s, %s, %v", gotID, gotSecret, err)
		}
	}
}
