package queue

import (
	"encoding/hex"
	"fmt"
	"strings"

	"jasmind/internal/sms"
)

// SubmitResult is an entry of dlr.submit_sm_resp: the final answer to the submission of a
// message somebody wants to hear of. Message-id is ours, the body the status name
// (ESME_ROK, or what it was given up with), headers type, smpp_msgid, cid.
type SubmitResult struct {
	MsgID     sms.MessageID
	CID       sms.ConnectorID
	SMPPMsgID string // the first part's id, "" on refusal
	Status    string // ESME_ROK, ESME_RINVDSTADR, ...
	// State is "" for an answer of the SMSC; else the final state that the gateway itself
	// gives the message: EXPIRED, UNDELIV or REJECTD.
	State string
}

// Message encodes r.
func (r *SubmitResult) Message() Message {
	h := Headers{{Name: HeaderType, Str: "submit_sm_resp"}, {Name: HeaderCID, Str: string(r.CID)}, {Name: HeaderSMPPMsgID, Str: r.SMPPMsgID}}
	if r.State != "" {
		h = append(h, Header{Name: HeaderDLRStat, Str: r.State})
	}
	return Message{ID: string(r.MsgID), ContentType: ContentText, Headers: h, Body: []byte(r.Status)}
}

// DecodeSubmitResult is the inverse of Message.
func DecodeSubmitResult(m *Message) (*SubmitResult, error) {
	if m.ID == "" || len(m.Body) == 0 {
		return nil, fmt.Errorf("submission result without message-id or status (id %q)", m.ID)
	}
	return &SubmitResult{MsgID: sms.MessageID(m.ID), CID: sms.ConnectorID(m.Headers.Str(HeaderCID)),
		SMPPMsgID: m.Headers.Str(HeaderSMPPMsgID), Status: string(m.Body), State: m.Headers.Str(HeaderDLRStat)}, nil
}

// LevelOne is the id of a second receipt request that stands beside that of a message with
// level 3 from its acceptance until the DLR of level 1 is queued: <msgid>/1. The lookup forgets it
// then, and so knows what was told already. Its Report is ReportSubmit; nothing else of it matters.
func LevelOne(id sms.MessageID) sms.MessageID { return id + "/1" }

// ReceiptEvent is an entry of dlr.deliver_sm: a delivery receipt as an SMSC sent it.
// Message-id is the SMSC's id, coded as the connector's dlr_msgid says, the body the state.
// The coding is done by the connector, so that the lookup needs no configuration.
type ReceiptEvent struct {
	CID                              sms.ConnectorID
	Accounts                         []sms.Account // whose ids it may have, the likeliest first; none in entries that were written before
	PDU                              string        // deliver_sm or data_sm
	ID                               string        // coded: the likeliest of sms.Candidates
	IDs                              []string      // the further candidates
	Unique                           bool          // take a candidate only if exactly one mapping answers (dlr_msgid auto)
	State                            string        // canonical: DELIVRD, ENROUTE, ...
	Sub, Dlvrd, SubmitDate, DoneDate string        // as sent, "" when missing
	Err, Text                        string
	ReceivedAt                       int64 // milliseconds since the epoch
	// Octets are the PDU as it came, so that a receipt which no message claims can be looked at; nil: they are not known.
	Octets []byte
}

// Message encodes r.
func (r *ReceiptEvent) Message() Message {
	h := Headers{
		{Name: HeaderType, Str: r.PDU}, {Name: HeaderCID, Str: string(r.CID)},
		{Name: HeaderDLRID, Str: r.ID}, {Name: HeaderDLRSub, Str: r.Sub}, {Name: HeaderDLRDlvrd, Str: r.Dlvrd},
		{Name: HeaderDLRSDate, Str: r.SubmitDate}, {Name: HeaderDLRDDate, Str: r.DoneDate},
		{Name: HeaderDLRStat, Str: r.State}, {Name: HeaderDLRErr, Str: r.Err}, {Name: HeaderDLRText, Str: r.Text},
		{Name: HeaderCreatedAt, Int: r.ReceivedAt, IsInt: true},
	}
	if r.Unique {
		h = append(h, Header{Name: HeaderDLRUnique, Int: 1, IsInt: true})
	}
	if len(r.IDs) > 0 {
		h = append(h, Header{Name: HeaderDLRIDs, Str: strings.Join(r.IDs, "\n")})
	}
	if len(r.Accounts) > 0 {
		names := make([]string, len(r.Accounts))
		for i, a := range r.Accounts {
			names[i] = string(a)
		}
		h = append(h, Header{Name: HeaderAccounts, Str: strings.Join(names, "\n")})
	}
	if len(r.Octets) > 0 {
		h = append(h, Header{Name: HeaderDLRPDU, Str: hex.EncodeToString(r.Octets)})
	}
	return Message{ID: r.ID, ContentType: ContentText, Headers: h, Body: []byte(r.State)}
}

// DecodeReceiptEvent is the inverse of Message.
func DecodeReceiptEvent(m *Message) (*ReceiptEvent, error) {
	h := m.Headers
	r := &ReceiptEvent{CID: sms.ConnectorID(h.Str(HeaderCID)), PDU: h.Str(HeaderType), ID: h.Str(HeaderDLRID),
		State: string(m.Body), Sub: h.Str(HeaderDLRSub), Dlvrd: h.Str(HeaderDLRDlvrd), SubmitDate: h.Str(HeaderDLRSDate),
		DoneDate: h.Str(HeaderDLRDDate), Err: h.Str(HeaderDLRErr), Text: h.Str(HeaderDLRText), ReceivedAt: h.Int(HeaderCreatedAt), Unique: h.Int(HeaderDLRUnique) == 1}
	if s := h.Str(HeaderDLRIDs); s != "" {
		r.IDs = strings.Split(s, "\n")
	}
	if s := h.Str(HeaderAccounts); s != "" {
		for name := range strings.SplitSeq(s, "\n") {
			r.Accounts = append(r.Accounts, sms.Account(name))
		}
	}
	if s := h.Str(HeaderDLRPDU); s != "" {
		r.Octets, _ = hex.DecodeString(s) // nobody goes by it
	}
	if r.CID == "" || r.ID == "" && len(r.IDs) == 0 {
		return nil, fmt.Errorf("receipt without cid or id (message-id %q)", m.ID)
	}
	return r, nil
}

// HTTPDLR is an entry of dlr_thrower.http: a DLR on its way to a URL.
type HTTPDLR struct {
	MsgID                                    sms.MessageID
	UID                                      sms.UserID // whose message it is; "": not known
	URL                                      string
	Method                                   string // GET or POST
	Level                                    int    // 1: submit_sm_resp, 2: receipt
	Status                                   string // message_status: ESME_* at level 1, the state at level 2
	CID                                      sms.ConnectorID
	IDSMSC                                   string
	Sub, Dlvrd, SubDate, DoneDate, Err, Text string // level 2
}

// Message encodes d.
func (d *HTTPDLR) Message() Message {
	h := Headers{
		{Name: HeaderURL, Str: d.URL}, {Name: HeaderMethod, Str: d.Method}, {Name: HeaderLevel, Int: int64(d.Level), IsInt: true},
		{Name: HeaderMessageStatus, Str: d.Status}, {Name: HeaderConnector, Str: string(d.CID)}, {Name: HeaderIDSMSC, Str: d.IDSMSC},
	}
	if d.Level != 1 {
		h = append(h, Header{Name: HeaderSub, Str: d.Sub}, Header{Name: HeaderDlvrd, Str: d.Dlvrd}, Header{Name: HeaderSubDate, Str: d.SubDate},
			Header{Name: HeaderDoneDate, Str: d.DoneDate}, Header{Name: HeaderErr, Str: d.Err}, Header{Name: HeaderText, Str: d.Text})
	}
	if d.UID != "" {
		h = append(h, Header{Name: HeaderUID, Str: string(d.UID)})
	}
	return Message{ID: string(d.MsgID), ContentType: ContentText, Headers: h, Body: []byte(d.Status)}
}

// DecodeHTTPDLR is the inverse of Message.
func DecodeHTTPDLR(m *Message) (*HTTPDLR, error) {
	h := m.Headers
	level, err := h.integer(HeaderLevel)
	if err != nil {
		return nil, fmt.Errorf("DLR of message %q: %w", m.ID, err)
	}
	d := &HTTPDLR{MsgID: sms.MessageID(m.ID), UID: sms.UserID(h.Str(HeaderUID)), URL: h.Str(HeaderURL), Method: h.Str(HeaderMethod), Level: int(level),
		Status: h.Str(HeaderMessageStatus), CID: sms.ConnectorID(h.Str(HeaderConnector)), IDSMSC: h.Str(HeaderIDSMSC), Sub: h.Str(HeaderSub),
		Dlvrd: h.Str(HeaderDlvrd), SubDate: h.Str(HeaderSubDate), DoneDate: h.Str(HeaderDoneDate), Err: h.Str(HeaderErr), Text: h.Str(HeaderText)}
	switch {
	case d.URL == "":
		return nil, fmt.Errorf("DLR of message %q has no url", m.ID)
	case level < 1 || level > 3:
		return nil, fmt.Errorf("DLR of message %q: header %s is %d, want 1, 2 or 3", m.ID, HeaderLevel, level)
	}
	return d, nil
}
