package jcli

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/connector"
	"jasmind/internal/metrics"
	"jasmind/internal/provision"
	"jasmind/internal/sms"
)

var statsCommand = command{
	name: "stats", doc: "Stats management",
	options: []option{
		{"", "--user", "UID", "Show user stats using it's UID"},
		{"", "--users", "", "Show all users stats"},
		{"", "--smppc", "CID", "Show smpp connector stats using it's CID"},
		{"", "--smppcs", "", "Show all smpp connectors stats"},
		{"", "--httpapi", "", "Show HTTP API stats"},
		{"", "--smppsapi", "", "Show SMPP Server API stats"},
		{"", "--deadletters", "", "Show how many dead letters there are"},
	},
	actions: []action{
		{"user", func(s *session, uid, _ string) { s.userStats(uid) }},
		{"users", func(s *session, _, _ string) { s.usersStats() }},
		{"smppc", func(s *session, cid, _ string) { s.connectorStats(cid) }},
		{"smppcs", func(s *session, _, _ string) { s.connectorsStats() }},
		{"httpapi", func(s *session, _, _ string) { s.printItems(doorItems(s.srv.deps.HTTPAPI)) }},
		{"smppsapi", func(s *session, _, _ string) { s.printItems(doorItems(s.srv.deps.SMPPServer)) }},
		{"deadletters", func(s *session, _, _ string) { s.deadLetterStats() }},
	},
}

func (s *session) printItems(items []metrics.Item) {
	rows := [][]string{{"#Item", "Value"}}
	for _, i := range items {
		rows = append(rows, []string{"#" + i.Name, i.Text})
	}
	s.print(grid(rows))
}

// doorItems are the counters of a door that this daemon has.
func doorItems(d door) []metrics.Item {
	if d == nil {
		return nil
	}
	return d.Counters()
}

// userItems are the counters of a user at a door.
func userItems(d door, uid sms.UserID) []metrics.Item {
	if d == nil {
		return nil
	}
	return d.UserCounters(uid)
}

// itemText is what one of the items says.
func itemText(items []metrics.Item, name string) string {
	if i := slices.IndexFunc(items, func(i metrics.Item) bool { return i.Name == name }); i >= 0 {
		return items[i].Text
	}
	return metrics.TimeText(time.Time{})
}

func (s *session) peers(uid sms.UserID) []string {
	if s.srv.deps.Binds == nil {
		return nil
	}
	return s.srv.deps.Binds.Peers(uid)
}

// userStats prints the documented items in the documented order, then the newer one.
func (s *session) userStats(uid string) {
	if s.knownUser(uid) == nil {
		return
	}
	rows := [][]string{{"#Item", "Type", "Value"}}
	add := func(api string, items ...metrics.Item) {
		for _, i := range items {
			rows = append(rows, []string{"#" + i.Name, api, i.Text})
		}
	}
	add("SMPP Server", userItems(s.srv.deps.SMPPServer, sms.UserID(uid))...)
	add("HTTP Api", userItems(s.srv.deps.HTTPAPI, sms.UserID(uid))...)
	add("SMPP Server", metrics.Item{Name: "bound_peer_ips", Text: cmp.Or(strings.Join(s.peers(sms.UserID(uid)), "; "), "-")})
	s.print(grid(rows))
}

func (s *session) usersStats() {
	snap := s.snapshot()
	users := added(snap, provision.KindUser, snap.Users(), func(u *account.User) string { return string(u.UID) })
	rows := [][]string{{"#User id", "SMPP Bound connections", "SMPP L.A.", "HTTP requests counter", "HTTP L.A."}}
	for _, u := range users {
		smpp, http := userItems(s.srv.deps.SMPPServer, u.UID), userItems(s.srv.deps.HTTPAPI, u.UID)
		rows = append(rows, []string{"#" + string(u.UID), strconv.Itoa(len(s.peers(u.UID))), itemText(smpp, "last_activity_at"),
			itemText(http, "connects_count"), itemText(http, "last_activity_at")})
	}
	s.print(grid(rows), "Total users: "+strconv.Itoa(len(users)))
}

// connectorNumbers gives the counters of a connector; new ones if it has none yet.
func (s *session) connectorNumbers(cid sms.ConnectorID) *connector.Stats {
	if s.srv.deps.Connected != nil {
		if st := s.srv.deps.Connected.Connector(cid); st != nil {
			return st
		}
	}
	return new(connector.Stats)
}

func (s *session) connectorStats(cid string) {
	if s.knownConnector(cid) != nil {
		s.printItems(metrics.Items(s.connectorNumbers(sms.ConnectorID(cid))))
	}
}

func (s *session) connectorsStats() {
	all := s.connectorsAdded()
	rows := [][]string{{"#Connector id", "Connected at", "Bound at", "Disconnected at", "Submits", "Delivers", "QoS errs", "Other errs"}}
	for _, c := range all {
		st := s.connectorNumbers(c.CID)
		rows = append(rows, []string{"#" + string(c.CID), st.ConnectedAt.String(), st.BoundAt.String(), st.DisconnectedAt.String(),
			fmt.Sprintf("%d/%d", st.SubmitSMRequestCount.Load(), st.SubmitSMCount.Load()), fmt.Sprintf("%d/%d", st.DeliverSMCount.Load(), st.DataSMCount.Load()),
			fmt.Sprint(st.ThrottlingErrorCount.Load()), fmt.Sprint(st.OtherSubmitErrorCount.Load())})
	}
	s.print(grid(rows), "Total connectors: "+strconv.Itoa(len(all)))
}
