package jcli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"testing"
	"time"

	"jasmind/internal/connector"
	"jasmind/internal/intercept"
	"jasmind/internal/provision"
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

type fakeBinds struct{}

func (fakeBinds) Unbind(_ context.Context, uid sms.UserID) error {
	if uid == "stuck" {
		return errors.New("the session does not answer")
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

func at(text string) time.Time {
	t, err := time.ParseInLocation(time.DateTime, text, time.Local)
	if err != nil {
		panic(err)
	}
	return t
}

// documentedStats are the numbers of the documentation's examples.
type documentedStats struct{}

func (documentedStats) Connector(cid sms.ConnectorID) *connector.Stats {
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

func (documentedStats) User(uid sms.UserID) UserStats {
	var st UserStats
	switch uid {
	case "sandra":
		st.SMPP.BindCount, st.SMPP.SubmitSMCount, st.SMPP.SubmitSMRequestCount, st.SMPP.UnbindCount = 26, 1500, 1506, 24
		st.SMPP.LastActivityAt, st.SMPP.QoSLastSubmitSMAt = at("2019-06-02 15:35:01"), at("2019-06-02 12:31:23")
		st.SMPP.OtherSubmitErrorCount, st.SMPP.ThrottlingErrorCount, st.SMPP.ElinkCount, st.SMPP.DeliverSMCount = 4, 2, 16, 1430
		st.SMPP.BoundTransmitter, st.SMPP.BoundReceiver = 1, 1
		st.SMPP.Peers = []Peer{{"10.0.0.7", "bind_transmitter", at("2019-06-02 10:00:00")}, {"10.0.0.8", "bind_receiver", at("2019-06-02 10:00:01")}}
		st.HTTP.ConnectsCount, st.HTTP.LastActivityAt, st.HTTP.RateRequestCount = 20, at("2019-06-01 12:12:33"), 20
		st.HTTP.SubmitSMRequestCount, st.HTTP.QoSLastSubmitSMAt, st.HTTP.BalanceRequestCount = 102, at("2019-05-22 15:56:02"), 16
	case "foo":
		st.SMPP.BoundTransceiver, st.SMPP.LastActivityAt = 6, at("2019-06-02 15:35:10")
	case "bar":
		st.HTTP.ConnectsCount, st.HTTP.LastActivityAt = 1289, at("2019-06-02 15:39:12")
	}
	return st
}

func (documentedStats) HTTPAPI() HTTPAPIStats {
	return HTTPAPIStats{
		ServerErrorCount: 120, ThroughputErrorCount: 4, SuccessCount: 14332, RouteErrorCount: 156, RequestCount: 20126, AuthErrorCount: 78,
		CreatedAt: at("2019-06-04 02:22:17"), LastSuccessAt: at("2019-06-05 18:20:29"), ChargingErrorCount: 178,
	}
}

func (documentedStats) SMPPServer() SMPPServerStats {
	return SMPPServerStats{
		DisconnectCount: 2, BoundRXCount: 1, CreatedAt: at("2019-06-04 02:22:17"), ElinkCount: 89, ThrottlingErrorCount: 1, SubmitSMCount: 199,
		ConnectedCount: 2, ConnectCount: 16, BoundTRXCount: 1, DataSMCount: 2, SubmitSMRequestCount: 200, DeliverSMCount: 145,
		LastSentPDUAt: at("2019-06-05 12:12:13"), UnbindCount: 6, LastReceivedPDUAt: at("2019-06-05 12:16:21"), BindTXCount: 6,
	}
}

func documentedDeps(t *testing.T) Deps {
	t.Helper()
	store := provision.NewStore()
	return Deps{Store: store, Profiles: &fakeProfiles{saved: map[string]bool{}}, Connectors: fakeConnectors{store}, Binds: fakeBinds{},
		Scripts: fakeScripts{}, Explain: fakeExplainer{store}, Stats: documentedStats{}, DeadLetters: fakeDeadLetters{}}
}
