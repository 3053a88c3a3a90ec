package jcli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"

	"jasmind/internal/connector"
	"jasmind/internal/connector/fleet"
	"jasmind/internal/intercept"
	"jasmind/internal/metrics"
	"jasmind/internal/provision"
	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

func itoa(n int) string     { return strconv.Itoa(n) }
func quote(s string) string { return strconv.Quote(s) }

// fakeProfiles knows that a profile was saved, and forgets it.
type fakeProfiles struct{ saved map[string]bool }

func (p *fakeProfiles) Persist(name string) error {
	if name == "full" {
		return errors.New("profile full: write: no space left on device")
	}
	p.saved[name] = true
	return nil
}

func (p *fakeProfiles) Load(name string) error {
	if !p.saved[name] {
		return fmt.Errorf("profile %s: %w", name, fs.ErrNotExist)
	}
	return nil
}

type fakeConnectors struct{ store *provision.Store }

func (f fakeConnectors) Sessions(cid sms.ConnectorID) []string {
	switch cid {
	case "DEMO_CONNECTOR":
		return []string{"OPEN", "BOUND_TRX"}
	case "connecting":
		return []string{"OPEN"}
	}
	return nil
}

func (fakeConnectors) Waiting(context.Context, sms.ConnectorID) (int, error) {
	return 0, queue.ErrNoQueue
}
func (fakeConnectors) Orphans() []fleet.Orphan { return nil }

type fakeBinds struct{}

func (fakeBinds) Unbind(_ context.Context, uid sms.UserID) error {
	if uid == "stuck" {
		return errors.New("the session does not answer")
	}
	return nil
}

func (fakeBinds) Peers(uid sms.UserID) []string {
	switch uid {
	case "sandra":
		return []string{"10.0.0.7 (bind_transmitter @ 2019-06-02 10:00:00)", "10.0.0.8 (bind_receiver @ 2019-06-02 10:00:01)"}
	case "foo":
		return make([]string, 6)
	}
	return nil
}

type fakeScripts struct{}

func (fakeScripts) Check(_ context.Context, s *intercept.Script) error {
	if strings.Contains(s.Source(), "def (") {
		return &intercept.ScriptError{Text: "invalid syntax (<string>, line 1)"}
	}
	return nil
}

// documentedConnectors have the numbers of the documentation's examples.
type documentedConnectors struct{}

func (documentedConnectors) Connector(cid sms.ConnectorID) *connector.Stats {
	if cid != "MTN" {
		return nil
	}
	st := &connector.Stats{}
	st.SubmitSMRequestCount.Store(2344)
	st.SubmitSMCount.Store(2300)
	st.ThrottlingErrorCount.Store(44)
	st.DeliverSMCount.Store(1302)
	st.ElinkCount.Store(34)
	st.ConnectedCount.Store(3)
	st.BoundCount.Store(3)
	st.DisconnectedCount.Store(2)
	return st
}

// documentedDoor is a door with counters of the documentation's examples: those that have a value there are listed by
// name and value, the others have counted nothing.
type documentedDoor struct {
	names, userNames string
	values           []string
	users            map[sms.UserID][]string
}

func counted(names string, values []string) []metrics.Item {
	var out []metrics.Item
	for _, name := range strings.Fields(names) {
		text := "0"
		switch i := slices.Index(values, name); {
		case i >= 0:
			text = values[i+1]
		case strings.HasSuffix(name, "_at"):
			text = "ND"
		case name == "bound_connections_count":
			text = "{'bind_transmitter': 0, 'bind_receiver': 0, 'bind_transceiver': 0}"
		}
		out = append(out, metrics.Item{Name: name, Text: text})
	}
	return out
}

func (d *documentedDoor) Counters() []metrics.Item { return counted(d.names, d.values) }

func (d *documentedDoor) UserCounters(uid sms.UserID) []metrics.Item {
	return counted(d.userNames, d.users[uid])
}

var documentedHTTP = &documentedDoor{
	names: "server_error_count last_request_at throughput_error_count success_count route_error_count request_count auth_error_count " +
		"created_at last_success_at charging_error_count interceptor_count interceptor_error_count",
	userNames: "connects_count last_activity_at rate_request_count submit_sm_request_count qos_last_submit_sm_at balance_request_count",
	values: []string{"server_error_count", "120", "throughput_error_count", "4", "success_count", "14332", "route_error_count", "156", "request_count", "20126",
		"auth_error_count", "78", "created_at", "2019-06-04 02:22:17", "last_success_at", "2019-06-05 18:20:29", "charging_error_count", "178"},
	users: map[sms.UserID][]string{
		"sandra": {"connects_count", "20", "last_activity_at", "2019-06-01 12:12:33", "rate_request_count", "20",
			"submit_sm_request_count", "102", "qos_last_submit_sm_at", "2019-05-22 15:56:02", "balance_request_count", "16"},
		"bar": {"connects_count", "1289", "last_activity_at", "2019-06-02 15:39:12"},
	},
}

var documentedSMPP = &documentedDoor{
	names: "disconnect_count bound_rx_count bound_tx_count other_submit_error_count bind_rx_count bind_trx_count created_at last_received_elink_at elink_count " +
		"throttling_error_count submit_sm_count connected_count connect_count bound_trx_count data_sm_count submit_sm_request_count deliver_sm_count last_sent_pdu_at " +
		"unbind_count last_received_pdu_at bind_tx_count interceptor_count interceptor_error_count",
	userNames: "bind_count submit_sm_count submit_sm_request_count unbind_count data_sm_count last_activity_at other_submit_error_count throttling_error_count " +
		"bound_connections_count elink_count qos_last_submit_sm_at deliver_sm_count",
	values: []string{"disconnect_count", "2", "bound_rx_count", "1", "created_at", "2019-06-04 02:22:17", "elink_count", "89", "throttling_error_count", "1",
		"submit_sm_count", "199", "connected_count", "2", "connect_count", "16", "bound_trx_count", "1", "data_sm_count", "2", "submit_sm_request_count", "200",
		"deliver_sm_count", "145", "last_sent_pdu_at", "2019-06-05 12:12:13", "unbind_count", "6", "last_received_pdu_at", "2019-06-05 12:16:21", "bind_tx_count", "6"},
	users: map[sms.UserID][]string{
		"sandra": {"bind_count", "26", "submit_sm_count", "1500", "submit_sm_request_count", "1506", "unbind_count", "24",
			"last_activity_at", "2019-06-02 15:35:01", "qos_last_submit_sm_at", "2019-06-02 12:31:23", "other_submit_error_count", "4", "throttling_error_count", "2",
			"elink_count", "16", "deliver_sm_count", "1430", "bound_connections_count", "{'bind_transmitter': 1, 'bind_receiver': 1, 'bind_transceiver': 0}"},
		"foo": {"last_activity_at", "2019-06-02 15:35:10"},
	},
}

func documentedDeps(t testing.TB) Deps {
	t.Helper()
	store := provision.NewStore()
	return Deps{Store: store, Profiles: &fakeProfiles{saved: map[string]bool{}}, Connectors: fakeConnectors{store}, Binds: fakeBinds{},
		Scripts: fakeScripts{}, Explain: fakeExplainer{store}, Connected: documentedConnectors{}, HTTPAPI: documentedHTTP, SMPPServer: documentedSMPP, DeadLetters: fakeDeadLetters{}}
}
