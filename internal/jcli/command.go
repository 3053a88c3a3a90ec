package jcli

import (
	"slices"
	"strings"

	"jasmind/internal/mt"
	"jasmind/internal/provision"
	"jasmind/internal/routing"
	"jasmind/internal/sms"
)

// command is a word that starts a line.
type command struct {
	name, doc string
	options   []option
	// actions are tried in their order: the first whose option the line has is run.
	actions []action
	// words can stand in the place of an option.
	words map[string]string
	// always is run instead of actions, whatever the options.
	always func(s *session, arg string, v values)
}

type action struct {
	option string
	run    func(s *session, value, arg string)
}

// commands and controls are filled by init, since help looks at them.
var commands, controls []command

func init() {
	profile := []option{{"-p", "--profile", "PROFILE", "Configuration profile, default: jcli-prod"}}
	commands = []command{
		{name: "persist", doc: "Persist current configuration profile to disk in PROFILE", options: profile, always: (*session).persist},
		{name: "load", doc: "Load configuration PROFILE profile from disk", options: profile, always: (*session).load},
		userCommand, groupCommand, filterCommand,
		interceptorCommand(routing.MO), interceptorCommand(routing.MT), routerCommand(routing.MO), routerCommand(routing.MT),
		smppccmCommand, httpccmCommand, statsCommand, dlqCommand,
	}
	controls = []command{
		{name: "quit", doc: "Disconnect from console", always: func(s *session, _ string, _ values) { s.leaving = true }},
		{name: "help", doc: `List available commands with "help" or detailed help with "help cmd".`, always: func(s *session, arg string, _ values) { s.help(arg) }},
	}
}

func commandNames() []string {
	var names []string
	for _, c := range slices.Concat(commands, controls) {
		names = append(names, c.name)
	}
	return names
}

func findCommand(name string) *command {
	for _, list := range [][]command{commands, controls} {
		if i := slices.IndexFunc(list, func(c command) bool { return c.name == name }); i >= 0 {
			return &list[i]
		}
	}
	return nil
}

// run runs a command with what follows its name.
func (c *command) run(s *session, line string) {
	if len(c.options) == 0 {
		c.always(s, line, nil)
		return
	}
	if o, ok := c.words[line]; ok {
		line = o
	}
	v, rest, err := parseOptions(line, c.options)
	if err != nil {
		s.print(err.Error(), usage(c.name, c.options))
		return
	}
	arg := strings.Join(rest, " ")
	if c.always != nil {
		c.always(s, arg, v)
		return
	}
	for _, a := range c.actions {
		value, ok := v[a.option]
		if ok && (value != "" || !c.takesValue(a.option)) {
			a.run(s, value, arg)
			return
		}
	}
	s.print("Missing required option")
}

func (c *command) takesValue(name string) bool {
	return slices.ContainsFunc(c.options, func(o option) bool { return o.name() == name && o.metavar != "" })
}

func (s *session) help(name string) {
	if name != "" {
		c := findCommand(name)
		switch {
		case c == nil:
			s.print("*** No help on " + name)
		case len(c.options) == 0:
			s.print(c.doc)
		default:
			s.print(c.doc, usage(c.name, c.options))
		}
		return
	}
	heading := func(text string) { s.print(text, strings.Repeat("=", len(text))) }
	list := func(all []command) {
		for _, c := range all {
			s.print(pad(c.name, 20) + c.doc)
		}
	}
	heading("Available commands:")
	list(commands)
	s.print("")
	heading("Control commands:")
	list(controls)
}

// apply changes the configuration. What was refused it prints after doing, the words of
// the original for what has failed, such as Failed adding User; ok tells whether it is done.
func (s *session) apply(doing string, f func(d *provision.Draft) error) (ok bool) {
	return s.done(doing, s.srv.deps.Store.Apply(f))
}

// applyUser is apply for a change that changes quotas of a user as well.
func (s *session) applyUser(doing string, uid sms.UserID, quotas []mt.QuotaChange, f func(d *provision.Draft) error) (ok bool) {
	a := s.srv.deps.Accounts
	if a == nil {
		return s.apply(doing, f)
	}
	ok = s.done(doing, a.Change(s.srv.ctx, uid, quotas, f))
	if ok {
		a.Settle(s.srv.ctx, uid)
	}
	return ok
}

// done tells whether a change is done; if not, it prints why.
func (s *session) done(doing string, err error) (ok bool) {
	if err == nil {
		return true
	}
	s.log.Warn("change refused", "doing", doing, "err", err)
	s.print(doing + ": " + oneLine(err))
	return false
}

// oneLine joins what several errors say.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
