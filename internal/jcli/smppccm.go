package jcli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"jasmind/internal/provision"
	"jasmind/internal/queue"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

var smppccmCommand = command{
	name: "smppccm", doc: "SMPP connector management",
	options: []option{
		{"-l", "--list", "", "List SMPP connectors"},
		{"-a", "--add", "", "Add SMPP connector"},
		{"-u", "--update", "CID", "Update SMPP connector configuration using it's CID"},
		{"-r", "--remove", "CID", "Remove SMPP connector using it's CID"},
		{"-s", "--show", "CID", "Show SMPP connector using it's CID"},
		{"-1", "--start", "CID", "Start SMPP connector using it's CID"},
		{"-0", "--stop", "CID", "Stop SMPP connector using it's CID"},
	},
	actions: []action{
		{"list", func(s *session, _, _ string) { s.listConnectors() }},
		{"add", func(s *session, _, _ string) { s.addConnector() }},
		{"update", func(s *session, cid, _ string) { s.updateConnector(cid) }},
		{"remove", func(s *session, cid, _ string) { s.removeConnector(cid) }},
		{"show", func(s *session, cid, _ string) { s.showConnector(cid) }},
		{"start", func(s *session, cid, _ string) { s.startConnector(cid, true) }},
		{"stop", func(s *session, cid, _ string) { s.startConnector(cid, false) }},
	},
}

func (s *session) connectorsAdded() []*provision.SMPPConnector {
	return added(s.snapshot(), provision.KindSMPPConnector, s.snapshot().SMPPConnectors(), func(c *provision.SMPPConnector) string { return string(c.CID) })
}

func (s *session) listConnectors() {
	widths := []int{35, 7, 16, 6, 5}
	all := s.connectorsAdded()
	if len(all) > 0 {
		s.print(row(widths, "Connector id", "Service", "Session", "Starts", "Stops"))
	}
	for _, c := range all {
		service := "stopped"
		if c.Started {
			service = "started"
		}
		n := s.srv.starts.of(c.CID)
		s.print(row(widths, string(c.CID), service, s.sessionState(c), strconv.Itoa(n.starts), strconv.Itoa(n.stops)))
	}
	s.print("Total connectors: " + strconv.Itoa(len(all)))
	if s.srv.deps.Connectors == nil {
		return
	}
	for _, o := range s.srv.deps.Connectors.Orphans() {
		s.print(fmt.Sprintf("Not configured: %s, %d messages wait in its queue", o.CID, o.Messages))
	}
}

// tellWaiting tells what waits for a connector that was removed, if anything does.
func (s *session) tellWaiting(cid sms.ConnectorID) {
	if s.srv.deps.Connectors == nil {
		return
	}
	ctx, cancel := context.WithTimeout(s.srv.ctx, waitingWait)
	defer cancel()
	switch n, err := s.srv.deps.Connectors.Waiting(ctx, cid); {
	case errors.Is(err, queue.ErrNoQueue):
	case err != nil:
		s.print("What waits in its queue is not known: " + oneLine(err))
	case n > 0:
		s.print(fmt.Sprintf("%d messages wait in its queue until a connector with this id is added", n))
	}
}

const waitingWait = 5 * time.Second // for the length of a queue

// sessionState is one word for all sessions of a connector: that of a bound one if there
// is one, else that of the first.
func (s *session) sessionState(c *provision.SMPPConnector) string {
	if s.srv.deps.Connectors == nil || !c.Started {
		return "None"
	}
	states := s.srv.deps.Connectors.Sessions(c.CID)
	if len(states) == 0 {
		return "None"
	}
	return states[max(0, slices.IndexFunc(states, func(state string) bool { return strings.HasPrefix(state, "BOUND") }))]
}

func (s *session) knownConnector(cid string) *provision.SMPPConnector {
	c := s.snapshot().SMPPConnector(sms.ConnectorID(cid))
	if c == nil {
		s.print("Unknown connector: " + cid)
	}
	return c
}

func (s *session) showConnector(cid string) {
	c := s.knownConnector(cid)
	if c == nil {
		return
	}
	for i := range smppc.Keys {
		s.print(smppc.Keys[i].Name + " " + smppc.Keys[i].Format(c.Config))
	}
}

func connectorKeys() []string {
	names := make([]string, len(smppc.Keys))
	for i := range smppc.Keys {
		names[i] = smppc.Keys[i].Name
	}
	return names
}

// setting is one parameter of a connector that was typed.
type setting struct{ key, value string }

// unknownValue lists the parameters whose faults the original tells in these words.
var unknownValue = []string{"bind_npi", "dst_npi", "src_npi", "bind_ton", "dst_ton", "src_ton", "ripf", "priority",
	"con_fail_retry", "con_loss_retry", "ssl", "logprivacy", "loglevel"}

// checkSetting looks at a parameter as soon as it is typed; what is wrong is printed.
func (s *session) checkSetting(key, value string) bool {
	if smppc.Lookup(key) == nil {
		s.print("Unknown SMPPClientConfig key: " + key)
		return false
	}
	scratch := smppc.Default("scratch")
	err := smppc.Set(&scratch, key, value)
	switch {
	case err == nil || key == "cid": // a cid is looked at when it is saved
		return true
	case slices.Contains(unknownValue, key):
		s.print("Error: Unknown value for key " + key + ": " + value)
	default:
		s.print("Error: " + err.Error())
	}
	return false
}

func (s *session) addConnector() {
	var settings []setting
	cid := ""
	s.begin("Adding a new connector: (ok: save, ko: exit)", &interaction{
		keys: connectorKeys(),
		set: func(key, value string) {
			if !s.checkSetting(key, value) {
				return
			}
			if key == "cid" {
				cid = value
			}
			settings = append(settings, setting{key, value})
		},
		save: func() {
			switch {
			case len(settings) == 0:
				s.print("You must set at least connector id (cid) before saving !")
				return
			case cid == "":
				s.print("Error: SMPPConfig must have an id")
				return
			case !smppc.ValidCID(cid):
				s.print("Error: SMPPConfig id syntax is invalid")
				return
			}
			c := provision.SMPPConnector{Config: smppc.Default(sms.ConnectorID(cid))}
			if err := applySettings(&c.Config, settings); err != nil {
				s.print("Error: " + oneLine(err))
				return
			}
			if s.apply("Failed adding connector", func(d *provision.Draft) error { return d.AddSMPPConnector(c) }) {
				s.print("Successfully added connector [" + cid + "]")
				s.end()
			}
		},
	})
}

func applySettings(c *smppc.Config, settings []setting) error {
	var errs []error
	for _, st := range settings {
		if st.key != "cid" {
			errs = append(errs, smppc.Set(c, st.key, st.value))
		}
	}
	return errors.Join(errs...)
}

func (s *session) updateConnector(cid string) {
	if s.knownConnector(cid) == nil {
		return
	}
	var settings []setting
	s.begin("Updating connector id ["+cid+"]: (ok: save, ko: exit)", &interaction{
		keys: connectorKeys(),
		set: func(key, value string) {
			if key == "cid" {
				s.print("Connector id can not be modified !")
				return
			}
			if s.checkSetting(key, value) {
				settings = append(settings, setting{key, value})
			}
		},
		save: func() {
			if len(settings) == 0 {
				s.print("Nothing to save")
				return
			}
			restart := false
			if !s.apply("Failed updating connector", func(d *provision.Draft) error {
				c, ok := d.SMPPConnector(sms.ConnectorID(cid))
				if !ok {
					return &provision.RefusedError{Key: provision.Key{Kind: provision.KindSMPPConnector, ID: cid}, Why: provision.ErrNotFound}
				}
				was := c.Config
				if err := applySettings(&c.Config, settings); err != nil {
					return err
				}
				restart = c.Started && smppc.RestartNeeded(was, c.Config)
				return d.UpdateSMPPConnector(c)
			}) {
				return
			}
			if restart {
				s.print("Restarting connector [" + cid + "] for updates to take effect ...")
			}
			s.print("Successfully updated connector [" + cid + "]")
			s.end()
		},
	})
}

func (s *session) removeConnector(cid string) {
	if s.knownConnector(cid) != nil && s.apply("Failed removing connector", func(d *provision.Draft) error { return d.RemoveSMPPConnector(sms.ConnectorID(cid)) }) {
		s.print("Successfully removed connector id:" + cid)
		s.tellWaiting(sms.ConnectorID(cid))
	}
}

func (s *session) startConnector(cid string, start bool) {
	if s.knownConnector(cid) == nil {
		return
	}
	doing, done, already := "Failed starting connector", "started", errors.New("it is started already")
	if !start {
		doing, done, already = "Failed stopping connector", "stopped", errors.New("it is stopped already")
	}
	if s.apply(doing, func(d *provision.Draft) error {
		if c, ok := d.SMPPConnector(sms.ConnectorID(cid)); ok && c.Started == start {
			return already
		}
		return d.StartSMPPConnector(sms.ConnectorID(cid), start)
	}) {
		s.print("Successfully " + done + " connector id:" + cid)
	}
}
