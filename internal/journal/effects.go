package journal

// Phase is a step of a Commit where no transaction spans queues and store. One follows the other, and
// each can be made again without harm.
type Phase uint8

// The phases, in order.
const (
	Admit       Phase = iota // what may refuse the entry
	Record                   // what others look for when they find the publications
	Publish                  // the publications, confirmed
	Conclude                 // what is only true when the publications are durable
	Acknowledge              // deliveries leave their queues
)

// Effect is what a field of an Entry does in a phase.
type Effect struct {
	Field string
	Phase Phase
}

// Effects lists what each field of an Entry does, in the order in which a Commit without transaction does it. Each
// driver has a table of how; tests compare it with this list, and this list with the fields of Entry.
var Effects = []Effect{
	{"Overrides", Admit},
	{"Charges", Admit}, // reserved, unless they are Owed
	{"Charges", Record},
	{"Release", Record},
	{"Receipts", Record},
	{"Records", Record},
	{"Expiries", Record},
	{"Mappings", Record},
	{"Outcomes", Record},
	{"Letters", Record},
	{"Publish", Publish},
	{"Retry", Publish}, // its copy
	{"Charges", Conclude},
	{"Confirm", Conclude},
	{"Changes", Conclude},
	{"Forget", Conclude},
	{"Joined", Conclude},
	{"Unexpire", Conclude},
	{"DropLetters", Conclude},
	{"Ack", Conclude},
	{"Retry", Conclude}, // as Ack, found by Settled from now on
	{"Ack", Acknowledge},
	{"Retry", Acknowledge},
}
