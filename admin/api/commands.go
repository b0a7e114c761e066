package api

import (
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// commandRoles says who may send a command; those that are not named here need an operator.
var commandRoles = map[protocol.CommandName]fleet.Role{
	protocol.CommandPing:        fleet.RoleTechnician,
	protocol.CommandRestart:     fleet.RoleTechnician,
	protocol.CommandMaintenance: fleet.RoleTechnician,
}

const maxKeyBytes = 128

func (s *Server) sendCommand(c echo.Context) error {
	k, err := s.cfg.Registry.Get(c.Param("serial"))
	if err != nil {
		return err
	}
	var req struct {
		Name      protocol.CommandName `json:"name"`
		Params    json.RawMessage      `json:"params"`
		ExpiresIn string               `json:"expires_in"`
	}
	if err := body(c, &req); err != nil {
		return err
	}
	role, ok := commandRoles[req.Name]
	if !ok {
		role = fleet.RoleOperator
	}
	if err := allow(c, role); err != nil {
		return err
	}
	expiresIn, err := optionalDuration("expires_in", req.ExpiresIn, 0)
	if err != nil {
		return err
	}
	key := c.Request().Header.Get("Idempotency-Key")
	if len(key) > maxKeyBytes {
		return fleet.Invalid("Idempotency-Key", "has %d bytes, at most %d are allowed", len(key), maxKeyBytes)
	}
	command, err := s.cfg.Commands.Send(c.Request().Context(), k.Serial, req.Name, req.Params, expiresIn, key, principal(c).Name)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Location", Prefix+"/commands/"+command.ID)
	return c.JSON(http.StatusAccepted, viewCommand(command))
}

func (s *Server) getCommand(c echo.Context) error {
	command, err := s.cfg.History.Command(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewCommand(command))
}

func (s *Server) listCommands(c echo.Context) error {
	k, err := s.cfg.Registry.Get(c.Param("serial"))
	if err != nil {
		return err
	}
	max, err := limit(c)
	if err != nil {
		return err
	}
	before := ""
	if err := cursor(c, &before); err != nil {
		return err
	}
	commands, err := s.cfg.History.Commands(c.Request().Context(), k.Serial, before, max+1)
	if err != nil {
		return err
	}
	out := page[commandView]{Items: []commandView{}}
	if len(commands) > max {
		commands = commands[:max]
		out.NextCursor = makeCursor(commands[max-1].ID)
	}
	for _, command := range commands {
		out.Items = append(out.Items, viewCommand(command))
	}
	return c.JSON(http.StatusOK, out)
}
