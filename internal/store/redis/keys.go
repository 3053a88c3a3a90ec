package redis

import (
	"strconv"

	"jasmind/internal/billing"
	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

// Every key of this driver is made here and described in docs/redis.md. All begin with the
// configured prefix, which is empty by default since the names are those of the original.
//
//	dlr:<msgid>                  hash  who wants to hear of a message
//	queue-msgid:<account>:<id>   hash  from an SMSC's id to ours
//	parts:<msgid>                hash  part number to its submission outcome
//	final:<msgid>                hash  part number to its final state
//	msg:<msgid>                  hash  the state of a message of an ESME
//	expiry                       zset  ends of validity, by time
//	settled:<queue>              zset  attempts settled lately, by time
//	quota:<uid>                  hash  what a user has left
//	bill:<id>                    hash  a charge at acceptance, or a change by an operator
//	bills:reserved               zset  charges that are not final, by the time they lapse
//	bills:owed:<uid>             zset  bills charged to a user afterwards, by time
//	queues                       set   names of the queues of connectors and ESMEs
//	longDeliverSm:<cid>:<src>:<dst>:<ref>:<total>
//	                             hash  parts of a long MO that is being collected
//	long-mo:<msgid>              hash  parts of a long MO that is on its way into its queue
//	long-mo:due                  zset  both, by the time when they are released
//	letter:<id>                  hash  a dead letter
//	letters                      zset  ids of all dead letters, score 0
//	letters:of:<queue>           zset  ids of those that were in one queue, score 0
//	letters:counts               hash  queue and cause to the number of letters
//	letters:gone                 zset  ids of letters dropped lately, by time
//	outbox                       zset  ids of publications that wait for the end of an alarm, in order
//	outbox:entries               hash  id to publication
//	outbox:last                  string  the last number in that order
type keys struct{ prefix string }

func (k keys) receipt(id sms.MessageID) string { return k.prefix + "dlr:" + string(id) }

func (k keys) mapping(account sms.Account, smppMsgID string) string {
	return k.prefix + "queue-msgid:" + string(account) + ":" + smppMsgID
}

func (k keys) parts(id sms.MessageID) string  { return k.prefix + "parts:" + string(id) }
func (k keys) finals(id sms.MessageID) string { return k.prefix + "final:" + string(id) }
func (k keys) record(id sms.MessageID) string { return k.prefix + "msg:" + string(id) }
func (k keys) expiry() string                 { return k.prefix + "expiry" }
func (k keys) settled(q queue.Name) string    { return k.prefix + "settled:" + string(q) }

func (k keys) queues() string { return k.prefix + "queues" }

func (k keys) quota(uid sms.UserID) string   { return k.prefix + "quota:" + string(uid) }
func (k keys) bill(id billing.BillID) string { return k.prefix + "bill:" + string(id) }
func (k keys) reserved() string              { return k.prefix + "bills:reserved" }
func (k keys) owed(uid sms.UserID) string    { return k.prefix + "bills:owed:" + string(uid) }

// The names of long MOs in long-mo:due, and, behind the prefix, their keys.
const (
	longCollecting = "longDeliverSm:"
	longReleased   = "long-mo:"
)

func longName(k sms.LongKey) string         { return longCollecting + k.String() }
func (k keys) long(id sms.MessageID) string { return k.prefix + longReleased + string(id) }
func (k keys) longDue() string              { return k.prefix + longReleased + "due" }

func (k keys) letter(id queue.LetterID) string { return k.prefix + "letter:" + string(id) }
func (k keys) letters() string                 { return k.prefix + "letters" }
func (k keys) lettersOf(q queue.Name) string   { return k.prefix + "letters:of:" + string(q) }
func (k keys) letterCounts() string            { return k.prefix + "letters:counts" }
func (k keys) lettersGone() string             { return k.prefix + "letters:gone" }

func (k keys) outbox() string        { return k.prefix + "outbox" }
func (k keys) outboxEntries() string { return k.prefix + "outbox:entries" }
func (k keys) outboxLast() string    { return k.prefix + "outbox:last" }

// Fields of quota:<uid>: integers, the balance in millionths. bill:<id> has them too, for
// what was taken, and uid and state.
const (
	fieldBalance = "balance"
	fieldCount   = "sms_count"
)

// Fields of dlr:<msgid>. The first two groups are the original's.
const (
	fieldSource    = "sc" // httpapi or smppsapi
	fieldConnector = "connector"
	fieldExpiry    = "expiry" // seconds
	fieldLevel     = "level"
	fieldURL       = "url"
	fieldMethod    = "method"

	fieldSystemID   = "system_id"
	fieldSource1    = "source_addr"
	fieldSourceTON  = "source_addr_ton"
	fieldSourceNPI  = "source_addr_npi"
	fieldDest       = "destination_addr"
	fieldDestTON    = "dest_addr_ton"
	fieldDestNPI    = "dest_addr_npi"
	fieldSubDate    = "sub_date"
	fieldRegistered = "rd_receipt"

	fieldParts = "parts"
)

// Further fields of queue-msgid:<account>:<id>.
const (
	fieldMsgID         = "msgid"
	fieldConnectorType = "connector_type" // as sc
	fieldSentBy        = "sent_by"        // cid
	fieldPart          = "part"
)

// Fields of msg:<msgid>, beside uid, connector, addresses, level and rd_receipt. The last
// four are not there until they are needed.
const (
	fieldUID       = "uid"
	fieldCoding    = "data_coding"
	fieldClass     = "esm_class"
	fieldGroup     = "group"
	fieldExpiresAt = "expires_at" // milliseconds since the epoch, 0: never
	fieldUntil     = "until"      // milliseconds since the epoch: until when the record is kept
	fieldState     = "state"      // message_state
	fieldErr       = "err"        // error_code
	fieldQueued    = "queued"     // 1: not submitted yet
	fieldFinal     = "final_at"   // milliseconds since the epoch: state is final
	fieldClaimed   = "claimed"    // 1: in a connector's hand
	fieldVersion   = "version"    // of the override
	fieldOverride  = "override"   // JSON
)

// settledKept is how many attempts of a queue are remembered: far more than can be in
// flight, so that one which comes back is among them.
const settledKept = 65536

// settledMember names an attempt within its queue.
func settledMember(d *queue.Delivery) string { return d.ID + "/" + strconv.Itoa(d.Attempts) }
