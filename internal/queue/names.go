package queue

import (
	"strings"

	"jasmind/internal/sms"
)

// The queues that every gateway has. Names and routing keys are those of the original.
const (
	DLRSubmitSMResp Name = "dlr.submit_sm_resp"          // outcome of a submission somebody wants to hear of
	DLRDeliverSM    Name = "dlr.deliver_sm"              // a receipt came from an SMSC
	DLRThrowerHTTP  Name = "dlr_thrower.http"            // a DLR for a URL
	DLRThrowerSMPPS Name = "dlr_thrower.smpps"           // a DLR for an ESME
	DeliverSMHTTP   Name = "deliver_sm_thrower.http"     // an MO for a URL
	DeliverSMSMPPS  Name = "deliver_sm_thrower.smpps"    // an MO for an ESME
	BillRequests    Name = "bill_request.submit_sm_resp" // what became due when a part was accepted
	DeadLetter      Name = "jasmind.dead_letter"         // what ended undelivered
)

// Exchanges (topic, durable) of the services mode.
const (
	ExchangeMessaging = "messaging"
	ExchangeBilling   = "billing"
)

// BillRequestKey is the routing key of a user's bill requests on the exchange billing. All
// of them lead to the queue BillRequests.
func BillRequestKey(uid sms.UserID) string { return string(BillRequests) + "." + string(uid) }

// BillRequestPattern is the binding of BillRequests.
const BillRequestPattern = string(BillRequests) + ".*"

const submitPrefix = "submit.sm."

// SubmitSM is the queue of a connector: submit.sm.<cid>.
func SubmitSM(cid sms.ConnectorID) Name { return Name(submitPrefix + string(cid)) }

// ConnectorOf is the inverse of SubmitSM.
func ConnectorOf(n Name) (sms.ConnectorID, bool) {
	rest, ok := strings.CutPrefix(string(n), submitPrefix)
	if !ok || rest == "" || strings.HasPrefix(rest, "resp.") {
		return "", false
	}
	return sms.ConnectorID(rest), true
}

// SubmitSMResp is the routing key of a copy of each submit_sm_resp for observers
// (when publish_submit_sm_resp is on): submit.sm.resp.<cid>.
func SubmitSMResp(cid sms.ConnectorID) Name { return Name("submit.sm.resp." + string(cid)) }

// DeliverSM is the routing key of a copy of each MO for observers: deliver.sm.<cid>.
func DeliverSM(cid sms.ConnectorID) Name { return Name("deliver.sm." + string(cid)) }

// Content types of bodies.
const (
	ContentPDU  = "application/vnd.smpp.pdu; v=1" // SMPP PDUs, one after the other
	ContentText = "text/plain; charset=utf-8"
)

// Header names. Each codec file says which queue has which.
const (
	HeaderCreatedAt       = "created_at"       // milliseconds since the epoch
	HeaderExpiresAt       = "expires_at"       // milliseconds since the epoch, absent: never
	HeaderSourceConnector = "source_connector" // httpapi or smppsapi
	HeaderUID             = "uid"
	HeaderReport          = "dlr_report"  // 1 submission, 2 final, 3 both
	HeaderRefusals        = "refusals"    // refused attempts by status: command_status in decimal=count, joined by ;: "88=3;8=1"
	HeaderLosses          = "losses"      // attempts without an answer; absent: the attempts that are no refusals
	HeaderContent         = "log_content" // text for logs
	HeaderBillEarly       = "bill_early"  // charged for each part at acceptance, decimal; absent: nothing was charged
	HeaderBillRest        = "bill_rest"   // to be charged for each part that is accepted, decimal; absent: nothing
	HeaderFailoverOn      = "failover_on" // statuses in decimal, joined by ;: refused so, the message moves; absent: none
	HeaderFailoverTo      = "failover_to" // the cids that it may still move to, joined by ;, the next one first
	HeaderTryCount        = "try-count"
	HeaderThrows          = "throws"      // calls of the URL that failed so far
	HeaderReplayedAt      = "replayed_at" // milliseconds since the epoch: when it last came back from the dead letters
	HeaderDeadID          = "dead_id"     // the id of a dead letter
	HeaderDeadAt          = "dead_at"     // when it was buried, milliseconds since the epoch
	HeaderDeadQueue       = "dead_queue"  // the queue that it was in
	HeaderDeadCause       = "dead_cause"  // the kind of reason that it was given up for
	HeaderDeadReason      = "dead_reason" // the reason
	HeaderDeadPriority    = "dead_priority"

	HeaderType      = "type"
	HeaderCID       = "cid"
	HeaderSMPPMsgID = "smpp_msgid"
	HeaderParts     = "parts"

	HeaderDLRID    = "dlr_id"
	HeaderDLRSub   = "dlr_sub"
	HeaderDLRDlvrd = "dlr_dlvrd"
	HeaderDLRSDate = "dlr_sdate"
	HeaderDLRDDate = "dlr_ddate"
	HeaderDLRStat  = "dlr_stat"
	HeaderDLRErr   = "dlr_err"
	HeaderDLRText  = "dlr_text"
	HeaderAccounts = "accounts" // of the SMSC whose ids the receipt may have, separated by line feeds
	HeaderDLRPDU   = "dlr_pdu"  // the receipt's PDU in hexadecimal
	HeaderDLRIDs   = "dlr_ids"  // further candidates for the id, separated by line feeds

	HeaderDLRUnique = "dlr_unique" // 1: ambiguous candidates match nothing

	HeaderAmount = "amount"  // decimal
	HeaderUserID = "user-id" // uid

	HeaderURL           = "url"
	HeaderMethod        = "method"
	HeaderLevel         = "level"
	HeaderMessageStatus = "message_status"
	HeaderConnector     = "connector"
	HeaderIDSMSC        = "id_smsc"
	HeaderSub           = "sub"
	HeaderDlvrd         = "dlvrd"
	HeaderSubDate       = "subdate"
	HeaderDoneDate      = "donedate"
	HeaderErr           = "err"
	HeaderText          = "text"
)
