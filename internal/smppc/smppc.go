// Package smppc describes an SMPP client connector: its parameters as the management
// console spells them, their defaults, and which of them need the connector restarted
// (Jasmin: smppccm). It knows neither sessions nor queues.
package smppc

import (
	"time"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// Config holds the parameters of one connector. The zero value is not usable; start
// from Default.
type Config struct {
	CID sms.ConnectorID // cid

	// Connection.
	Host             string       // host, default 127.0.0.1
	Port             int          // port, default 2775
	SSL              bool         // ssl, default no
	Username         string       // username, default smppclient
	Password         string       // password, default password
	Bind             pdu.BindType // bind: transceiver, receiver or transmitter
	SystemType       string       // systype
	BindTON, BindNPI uint8        // bind_ton default 0, bind_npi default 1
	AddressRange     string       // addr_range

	// Timers.
	BindTimeout     time.Duration // bind_to, default 30 s
	Inactivity      time.Duration // trx_to, default 300 s
	ResponseTimeout time.Duration // res_to, default 60 s
	PDUReadTimeout  time.Duration // pdu_red_to, default 10 s
	EnquireLink     time.Duration // elink_interval, default 30 s
	ConLossRetry    bool          // con_loss_retry, default yes
	ConLossDelay    time.Duration // con_loss_delay, default 10 s
	ConFailRetry    bool          // con_fail_retry, default yes
	ConFailDelay    time.Duration // con_fail_delay, default 10 s

	// Defaults of messages, for fields that the sender left unset.
	SourceAddr       string         // src_addr, "" = none
	SourceTON        uint8          // src_ton, default 2
	SourceNPI        uint8          // src_npi, default 1
	DestTON          uint8          // dst_ton, default 1
	DestNPI          uint8          // dst_npi, default 1
	Validity         time.Duration  // validity in seconds, 0 = none
	Priority         uint8          // priority, default 0
	ProtocolID       uint8          // proto_id
	ProtocolIDSet    bool           // whether proto_id is defined
	Coding           pdu.DataCoding // coding, default 0
	DefaultMsgID     uint8          // def_msg_id, default 0
	ReplaceIfPresent uint8          // ripf, default 0

	// Flow.
	SubmitThroughput float64       // submit_throughput, messages per second, default 1, 0 = unlimited
	RequeueDelay     time.Duration // requeue_delay, default 120 s
	DLRExpiry        time.Duration // dlr_expiry, default 86400 s
	DLRMsgID         string        // dlr_msgid: 0, 1, 2 or auto
	Window           int           // window: submit_sm awaiting a response on each bind, 1 to 1000, default 10 (new)
	Binds            int           // binds: sessions of this connector, 1 to 100, default 1 (new)
	MaxQueue         int           // max_queue: waiting messages, 0 = no limit (new)

	// Logging.
	LogFile    string // logfile, default /var/log/jasmin/default-<cid>.log
	LogRotate  string // logrotate, default midnight
	LogLevel   int    // loglevel, 10 to 50, default 20
	LogPrivacy bool   // logprivacy, default no
}
