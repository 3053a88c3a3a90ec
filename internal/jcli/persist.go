package jcli

import (
	"errors"
	"io/fs"
)

// persisted are the parts of a profile in the order of the documented answer.
var persisted = []string{"mtrouter", "smppcc", "group", "user", "httpcc", "mointerceptor", "filter", "mtinterceptor", "morouter"}

const defaultProfile = "jcli-prod"

func (s *session) persist(_ string, v values) {
	s.profile(v, "persisted", "persist", func(p profiles, name string) error { return p.Persist(name) })
}

func (s *session) load(_ string, v values) {
	s.profile(v, "loaded", "load", func(p profiles, name string) error {
		err := p.Load(name)
		if err == nil && s.srv.deps.Accounts != nil {
			s.srv.deps.Accounts.Settle(s.srv.ctx)
		}
		return err
	})
}

// profile saves or loads a profile, which is one step: the answer has a line for each of
// its parts, as that of the original.
func (s *session) profile(v values, done, do string, f func(p profiles, name string) error) {
	name, given := v["profile"]
	if !given {
		name = defaultProfile
	}
	err := errors.New("this daemon keeps no profiles")
	if s.srv.deps.Profiles != nil {
		err = f(s.srv.deps.Profiles, name)
	}
	for _, part := range persisted {
		if err != nil {
			s.print("Failed to " + do + " " + part + " configuration (profile:" + name + ")")
		} else {
			s.print(part + " configuration " + done + " (profile:" + name + ")")
		}
	}
	switch {
	case err == nil:
		s.log.Info("profile", "done", done, "profile", name)
	case errors.Is(err, fs.ErrNotExist):
		s.log.Warn("profile", "doing", do, "profile", name, "err", err)
	default:
		s.log.Error("profile", "doing", do, "profile", name, "err", err)
		s.print(err.Error())
	}
}
