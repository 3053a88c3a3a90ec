package gateway

import (
	"reflect"
	"testing"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

func TestTransmitterIsPairedWithItsReceiver(t *testing.T) {
	of := func(cid, host, username string, bind pdu.BindType, dlr sms.ConnectorID) wanted {
		cfg := smppc.Default(sms.ConnectorID(cid))
		cfg.Host, cfg.Username, cfg.Bind, cfg.DLRCID = host, username, bind, dlr
		return wanted{cfg: cfg}
	}
	tx := func(dlr sms.ConnectorID) wanted { return of("tx-1", "smsc", "foo", pdu.Transmitter, dlr) }
	for _, tt := range []struct {
		name   string
		others []wanted
		tx     wanted
		want   sms.ConnectorID
	}{
		{"alone it keeps its own", nil, tx(""), ""},
		{"the receiver of the same account takes its receipts", []wanted{of("rx-1", "smsc", "foo", pdu.Receiver, "")}, tx(""), "rx-1"},
		{"another account's receiver does not", []wanted{of("rx-1", "smsc", "bar", pdu.Receiver, ""), of("rx-2", "other", "foo", pdu.Receiver, "")}, tx(""), ""},
		{"a transceiver does not", []wanted{of("trx-1", "smsc", "foo", pdu.Transceiver, "")}, tx(""), ""},
		{"of two receivers none is guessed", []wanted{of("rx-1", "smsc", "foo", pdu.Receiver, ""), of("rx-2", "smsc", "foo", pdu.Receiver, "")}, tx(""), ""},
		{"what dlr_cid says stays", []wanted{of("rx-1", "smsc", "foo", pdu.Receiver, "")}, tx("rx-9"), "rx-9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := map[sms.ConnectorID]wanted{"tx-1": tt.tx}
			for _, o := range tt.others {
				want[o.cfg.CID] = o
			}
			pair(want)
			if got := want["tx-1"].cfg.DLRCID; got != tt.want {
				t.Errorf("dlr_cid is %q, want %q", got, tt.want)
			}
			for _, o := range tt.others {
				if !reflect.DeepEqual(want[o.cfg.CID], o) {
					t.Errorf("%s was changed", o.cfg.CID)
				}
			}
		})
	}
}
