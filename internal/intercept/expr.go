package intercept

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"
	"github.com/expr-lang/expr/vm/runtime"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smstext"
)

// What a rule may cost.
const (
	maxRule   = 64 << 10 // octets of its text
	maxNodes  = 2000     // of its syntax tree
	maxBudget = 1 << 20  // of one run: octets of text made, and stepCost for each step of a loop
	stepCost  = 64
)

var errBudget = errors.New("the rule does too much: loops and texts are bounded")

// rule is a compiled expression.
type rule struct {
	program *vm.Program
	reads   reads
}

// reads are the variables that are made only for a rule that reads them.
type reads struct{ content, shortMessage bool }

// scope holds the variables and functions of a rule. It is reused.
type scope struct {
	Direction    string    `expr:"direction"`
	Content      string    `expr:"content"`
	DateTime     time.Time `expr:"date_time"`
	User         ruleUser  `expr:"user"`
	Connector    ruleConn  `expr:"connector"`
	Tags         []string  `expr:"tags"`
	ServiceType  string    `expr:"service_type"`
	SourceTON    int       `expr:"source_addr_ton"`
	SourceNPI    int       `expr:"source_addr_npi"`
	Source       string    `expr:"source_addr"`
	DestTON      int       `expr:"dest_addr_ton"`
	DestNPI      int       `expr:"dest_addr_npi"`
	Dest         string    `expr:"destination_addr"`
	ESMClass     int       `expr:"esm_class"`
	ProtocolID   int       `expr:"protocol_id"`
	Priority     int       `expr:"priority_flag"`
	Schedule     string    `expr:"schedule_delivery_time"`
	Validity     string    `expr:"validity_period"`
	Registered   int       `expr:"registered_delivery"`
	Replace      int       `expr:"replace_if_present_flag"`
	DataCoding   int       `expr:"data_coding"`
	DefaultMsgID int       `expr:"sm_default_msg_id"`
	ShortMessage string    `expr:"short_message"`

	Set        func(string, any) (bool, error)      `expr:"set"`
	Lock       func(...string) (bool, error)        `expr:"lock"`
	Tag        func(any) (bool, error)              `expr:"tag"`
	Untag      func(any) bool                       `expr:"untag"`
	HasTag     func(any) bool                       `expr:"has_tag"`
	TLV        func(any) (any, error)               `expr:"tlv"`
	AddTLV     func(int, string, any) (bool, error) `expr:"add_custom_tlv"`
	Refuse     func(int, ...int) bool               `expr:"refuse"`
	RefuseHTTP func(int) bool                       `expr:"refuse_http"`
	Answer     func(...string) bool                 `expr:"answer"`
	Concat     func(string, string) string          `expr:"__concat"`
	Add        func(any, any) any                   `expr:"__add"`
	Step       func() (bool, error)                 `expr:"__step"`

	vm         vm.VM
	reads      reads
	m          *Message
	changed    Params
	locked     Params
	smpp, http status
	messageID  string
	budget     int
}

type ruleUser struct {
	UID      string `expr:"uid"`
	GID      string `expr:"gid"`
	Username string `expr:"username"`
}

type ruleConn struct {
	CID string `expr:"cid"`
}

var scopes = sync.Pool{New: func() any { return newScope() }}

// allowed are the functions of the language that a rule can use: those whose result is no
// longer than their arguments, since rules must not cost without bound.
var allowed = []string{
	"all", "any", "one", "none", "map", "filter", "find", "findIndex", "findLast", "findLastIndex", "count", "sum",
	"len", "first", "last", "take", "min", "max", "abs", "ceil", "floor", "round", "int", "float", "string", "type",
	"trim", "trimPrefix", "trimSuffix", "upper", "lower", "split", "indexOf", "lastIndexOf", "hasPrefix", "hasSuffix",
	"now", "duration", "date", "timezone",
}

// compileRule makes a rule of its text. Errors point at the place.
func compileRule(source string) (*rule, error) {
	if strings.TrimSpace(source) == "" || len(source) > maxRule {
		return nil, fmt.Errorf("expr(): invalid rule of %d octets, must be 1 to %d", len(source), maxRule)
	}
	r := &rule{}
	options := []expr.Option{expr.Env(&scope{}), expr.MaxNodes(maxNodes), expr.Operator("+", "__concat"),
		expr.DisableAllBuiltins(), expr.Patch(&bounder{rule: r})}
	for _, name := range allowed {
		options = append(options, expr.EnableBuiltin(name))
	}
	program, err := expr.Compile(source, options...)
	if err != nil {
		return nil, fmt.Errorf("expr(): %w", err)
	}
	r.program = program
	return r, nil
}

// bounder makes every turn of a loop and every sum of what may be texts count, and notes
// which variables a rule reads.
type bounder struct{ rule *rule }

// Visit looks at one node.
func (b *bounder) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		b.rule.reads.content = b.rule.reads.content || n.Value == "content"
		b.rule.reads.shortMessage = b.rule.reads.shortMessage || n.Value == "short_message"
	case *ast.BinaryNode:
		if n.Operator == "+" && (unknown(n.Left) || unknown(n.Right)) {
			*node = &ast.CallNode{Callee: &ast.IdentifierNode{Value: "__add"}, Arguments: []ast.Node{n.Left, n.Right}}
		}
	case *ast.PredicateNode:
		step := &ast.CallNode{Callee: &ast.IdentifierNode{Value: "__step"}}
		n.Node = &ast.SequenceNode{Nodes: []ast.Node{step, n.Node}}
	}
}

// unknown tells that the type of a node is found only when it runs.
func unknown(n ast.Node) bool {
	t := n.Type()
	return t == nil || t.Kind() == reflect.Interface
}

func newScope() *scope {
	e := &scope{}
	e.Set = func(name string, v any) (bool, error) {
		want, err := ruleValue(name, v)
		if err != nil {
			return false, err
		}
		p, err := set(&e.m.PDU, name, want)
		if err != nil {
			return false, err
		}
		e.changed.add(p)
		if err := validate(&e.m.PDU, e.changed); err != nil {
			return false, err
		}
		e.load()
		return true, nil
	}
	e.Lock = func(names ...string) (bool, error) {
		for _, name := range names {
			p, ok := paramByName[name]
			if !ok {
				return false, fmt.Errorf("lock: invalid value %q, must be a mandatory parameter", clip(name, 64))
			}
			e.locked.add(p)
		}
		return true, nil
	}
	e.Tag = func(tag any) (bool, error) {
		t, ok := ruleTag(tag)
		if !ok || len(t) > maxTag {
			return false, fmt.Errorf("tag: invalid value %v, must be a number or up to %d characters", tag, maxTag)
		}
		if len(e.m.Tags) >= maxTags {
			return false, fmt.Errorf("tag: a message has %d tags at most", maxTags)
		}
		e.m.Tags = append(e.m.Tags, t)
		e.changed.add(ParamTags)
		e.Tags = e.m.Tags
		return true, nil
	}
	e.Untag = func(tag any) bool {
		t, _ := ruleTag(tag)
		i := slices.Index(e.m.Tags, t)
		if i < 0 {
			return false
		}
		e.m.Tags = slices.Delete(e.m.Tags, i, i+1)
		e.changed.add(ParamTags)
		e.Tags = e.m.Tags
		return true
	}
	e.HasTag = func(tag any) bool {
		t, ok := ruleTag(tag)
		return ok && slices.Contains(e.m.Tags, t)
	}
	e.TLV = e.tlv
	e.AddTLV = func(tag int, kind string, v any) (bool, error) {
		t := CustomTLV{Tag: pdu.Tag(tag), Length: -1, Type: kind, Value: v}
		if n, ok := v.(int); ok {
			t.Value = int64(n)
		}
		if tag < 0 || tag > math.MaxUint16 || len(e.m.CustomTLVs) >= maxCustom {
			return false, fmt.Errorf("add_custom_tlv: invalid tag %d, or more than %d of them", tag, maxCustom)
		}
		if _, err := t.Encode(); err != nil {
			return false, fmt.Errorf("add_custom_tlv: %w", err)
		}
		e.m.CustomTLVs = append(e.m.CustomTLVs, t)
		e.changed.add(ParamCustomTLVs)
		return true, nil
	}
	e.Refuse = func(smpp int, http ...int) bool {
		e.smpp = status{set: true, number: true, value: int64(smpp)}
		if len(http) > 0 {
			e.http = status{set: true, number: true, value: int64(http[0])}
		}
		return true
	}
	e.RefuseHTTP = func(http int) bool {
		e.http = status{set: true, number: true, value: int64(http)}
		return true
	}
	e.Answer = func(id ...string) bool {
		e.smpp = status{set: true, number: true}
		if len(id) > 0 {
			e.messageID = id[0]
		}
		return true
	}
	e.Concat = func(a, b string) string {
		if e.budget -= len(a) + len(b); e.budget < 0 {
			return ""
		}
		return a + b
	}
	e.Add = func(a, b any) any {
		if a, ok := a.(string); ok {
			if b, ok := b.(string); ok {
				return e.Concat(a, b)
			}
		}
		return runtime.Add(a, b)
	}
	e.Step = func() (bool, error) {
		if e.budget -= stepCost; e.budget < 0 {
			return false, errBudget
		}
		return true, nil
	}
	return e
}

// tlv is an optional parameter by name, or a vendor's by number; nil if it is not there.
func (e *scope) tlv(key any) (any, error) {
	switch key := key.(type) {
	case string:
		tag, ok := pdu.ParseTag(key)
		if _, named := tlvKinds[tag]; !ok || !named || tag.String() != key {
			return nil, fmt.Errorf("tlv: invalid value %q, must be the name of an optional parameter or a number", clip(key, 64))
		}
		if b, there := e.m.PDU.TLVs.Get(tag); there {
			n, octets, numeric := tlvValue(pdu.TLV{Tag: tag, Value: b})
			if numeric {
				return int(n), nil
			}
			return string(octets), nil
		}
	case int:
		for _, t := range e.m.CustomTLVs {
			if int(t.Tag) == key {
				switch v := t.Value.(type) {
				case []byte:
					return string(v), nil
				case int64:
					return int(v), nil
				}
				return t.Value, nil
			}
		}
	default:
		return nil, fmt.Errorf("tlv: invalid value %v, must be a name or a number", key)
	}
	return nil, nil
}

// ruleValue is a value of a rule in the form of set: text where the parameter holds text, and
// octets elsewhere; nil for nothing.
func ruleValue(name string, v any) (value, error) {
	switch v := v.(type) {
	case nil:
		return value{none: true}, nil
	case int:
		n := int64(v)
		if p, ok := paramByName[name]; ok && text(&pdu.Message{}, p) != nil {
			s := strconv.FormatInt(n, 10) // a number for an address
			return value{octets: &s}, nil
		}
		return value{number: &n}, nil
	case bool:
		n := int64(0)
		if v {
			n = 1
		}
		return value{number: &n}, nil
	case string:
		return value{text: &v}, nil
	}
	return value{}, fmt.Errorf("set: invalid value for %s, must be a text or a whole number, not %T", clip(name, 64), v)
}

func ruleTag(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case int:
		return strconv.Itoa(v), true
	}
	return "", false
}

// load fills the variables from the message.
func (e *scope) load() {
	p := &e.m.PDU
	e.ServiceType, e.Schedule, e.Validity = p.ServiceType, p.ScheduleDeliveryTime, p.ValidityPeriod
	e.Source, e.SourceTON, e.SourceNPI = p.Source.Addr, int(p.Source.TON), int(p.Source.NPI)
	e.Dest, e.DestTON, e.DestNPI = p.Dest.Addr, int(p.Dest.TON), int(p.Dest.NPI)
	e.ESMClass, e.ProtocolID, e.Priority = int(p.ESMClass), int(p.ProtocolID), int(p.PriorityFlag)
	e.Registered, e.Replace = int(p.RegisteredDelivery), int(p.ReplaceIfPresent)
	e.DataCoding, e.DefaultMsgID = int(p.DataCoding), int(p.SMDefaultMsgID)
	e.Tags = e.m.Tags
	if e.reads.shortMessage {
		e.ShortMessage = string(p.ShortMessage)
	}
	if e.reads.content {
		e.Content = Content(p)
	}
}

// Content is the text of a message in UTF-8: of short_message without its user data header
// or, when that is empty, of message_payload.
func Content(p *pdu.Message) string {
	octets := p.ShortMessage
	if len(octets) == 0 {
		octets, _ = p.TLVs.Get(pdu.TagMessagePayload)
	}
	if p.ESMClass&pdu.ESMUDHI != 0 {
		if _, rest, err := smstext.ParseUDH(octets); err == nil {
			octets = rest
		}
	}
	return smstext.Decode(octets, p.DataCoding)
}

// eval runs the rule on a message and gives the scope, which must be given back with done.
func (r *rule) eval(m *Message) (*scope, any, error) {
	e := scopes.Get().(*scope)
	e.m, e.reads, e.budget = m, r.reads, maxBudget
	e.Direction, e.DateTime = m.Direction.String(), m.Time
	e.User = ruleUser{string(m.User.UID), string(m.User.GID), m.User.Username}
	e.Connector = ruleConn{string(m.Connector)}
	e.load()
	result, err := e.vm.Run(r.program, e)
	if e.budget < 0 {
		err = errBudget
	}
	return e, result, err
}

func (e *scope) done() {
	*e = scope{Set: e.Set, Lock: e.Lock, Tag: e.Tag, Untag: e.Untag, HasTag: e.HasTag, TLV: e.TLV, AddTLV: e.AddTLV,
		Refuse: e.Refuse, RefuseHTTP: e.RefuseHTTP, Answer: e.Answer, Concat: e.Concat, Add: e.Add, Step: e.Step, vm: e.vm}
	scopes.Put(e)
}

// run runs the rule as an interceptor: its value does not count, what it did does.
func (r *rule) run(s *Script, v *Verdict) error {
	e, _, err := r.eval(&v.Message)
	defer e.done()
	if err != nil {
		return Failed(s.String(), err)
	}
	if e.smpp.set || e.http.set {
		v.Answered, err = decide(s, e.smpp, e.http, e.messageID)
		return err
	}
	v.Changed, v.Locked = e.changed, e.locked
	return nil
}

// evaluate runs the rule as a filter.
func (r *rule) evaluate(s *Script, m *Message) (bool, error) {
	e, result, err := r.eval(m)
	defer e.done()
	if err != nil {
		return false, Failed(s.String(), err)
	}
	return result == true, nil
}
