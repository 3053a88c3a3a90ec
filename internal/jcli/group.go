package jcli

import (
	"strconv"

	"jasmind/internal/account"
	"jasmind/internal/provision"
	"jasmind/internal/sms"
)

var groupCommand = command{
	name: "group", doc: "Group management",
	options: []option{
		{"-l", "--list", "", "List groups"},
		{"-a", "--add", "", "Add group"},
		{"-e", "--enable", "GID", "Enable group"},
		{"-d", "--disable", "GID", "Disable group"},
		{"-r", "--remove", "GID", "Remove group using it's GID"},
	},
	actions: []action{
		{"list", func(s *session, _, _ string) { s.listGroups() }},
		{"add", func(s *session, _, _ string) { s.addGroup() }},
		{"enable", func(s *session, gid, _ string) { s.enableGroup(gid, true) }},
		{"disable", func(s *session, gid, _ string) { s.enableGroup(gid, false) }},
		{"remove", func(s *session, gid, _ string) { s.removeGroup(gid) }},
	},
}

// mark is an id as lists show it: with a ! if it is disabled.
func mark(id string, enabled bool) string {
	if enabled {
		return id
	}
	return "!" + id
}

func (s *session) listGroups() {
	groups := added(s.snapshot(), provision.KindGroup, s.snapshot().Groups(), func(g *account.Group) string { return string(g.GID) })
	if len(groups) > 0 {
		s.print(row([]int{16}, "Group id"))
	}
	for _, g := range groups {
		s.print(row([]int{16}, mark(string(g.GID), g.Enabled)))
	}
	s.print("Total Groups: " + strconv.Itoa(len(groups)))
}

func (s *session) addGroup() {
	gid, set := "", false
	s.begin("Adding a new Group: (ok: save, ko: exit)", &interaction{
		keys: []string{"gid"},
		set: func(key, value string) {
			if key != "gid" {
				s.print("Unknown Group key: " + key)
				return
			}
			gid, set = value, true
		},
		save: func() {
			switch {
			case !set:
				s.print("You must set Group id (gid) before saving !")
			case !account.ValidGID(gid):
				s.print("Error: Group gid syntax is invalid")
			case s.apply("Failed adding Group", func(d *provision.Draft) error {
				return d.PutGroup(account.Group{GID: sms.GroupID(gid), Enabled: true})
			}):
				s.print("Successfully added Group [" + gid + "]")
				s.end()
			}
		},
	})
}

// knowsGroup tells whether a group exists, and says so if not.
func (s *session) knowsGroup(gid string) bool {
	if s.snapshot().Group(sms.GroupID(gid)) != nil {
		return true
	}
	s.print("Unknown Group: " + gid)
	return false
}

func (s *session) enableGroup(gid string, enabled bool) {
	if !s.knowsGroup(gid) {
		return
	}
	doing, done := "Failed enabling Group", "enabled"
	if !enabled {
		doing, done = "Failed disabling Group", "disabled"
	}
	if s.apply(doing, func(d *provision.Draft) error { return d.EnableGroup(sms.GroupID(gid), enabled) }) {
		s.print("Successfully " + done + " Group id:" + gid)
	}
}

func (s *session) removeGroup(gid string) {
	if s.knowsGroup(gid) && s.apply("Failed removing Group", func(d *provision.Draft) error { return d.RemoveGroup(sms.GroupID(gid)) }) {
		s.print("Successfully removed Group id:" + gid)
	}
}
