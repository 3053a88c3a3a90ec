package original

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nlpodyssey/gopickle/pickle"
	"github.com/nlpodyssey/gopickle/types"
)

// object is what is left of an object of the original: the name of its class, what it was made
// of, and its attributes. It does nothing.
type object struct {
	class string
	args  []any
	attrs map[string]any
}

// class makes objects. It stands for a class or a function of Python, none of which is run.
type class struct {
	name  string
	known bool // one of the original's, or of those that its data needs
}

// member is a member of an enumeration.
type member struct{ class, name string }

// classes are those whose objects are understood, by their modules.
var classes = map[string]string{
	"jasmin.routing.jasminApi": "User Group MtMessagingCredential SmppsCredential CnxStatus HttpConnector SmppClientConnector SmppServerSystemIdConnector " +
		"MTInterceptorScript MOInterceptorScript",
	"jasmin.routing.Filters": "TransparentFilter ConnectorFilter UserFilter GroupFilter SourceAddrFilter DestinationAddrFilter ShortMessageFilter " +
		"DateIntervalFilter TimeIntervalFilter TagFilter EvalPyFilter",
	"jasmin.routing.Routes":             "DefaultRoute StaticMTRoute RandomRoundrobinMTRoute FailoverMTRoute StaticMORoute RandomRoundrobinMORoute FailoverMORoute",
	"jasmin.routing.Interceptors":       "DefaultInterceptor StaticMTInterceptor StaticMOInterceptor",
	"jasmin.routing.RoutingTables":      "MTRoutingTable MORoutingTable",
	"jasmin.routing.InterceptionTables": "MTInterceptionTable MOInterceptionTable",
	"jasmin.protocols.smpp.configs":     "SMPPClientConfig",
	"smpp.pdu.pdu_types":                enumerations,
	"jasmin.vendor.smpp.pdu.pdu_types":  enumerations,
	"re":                                "_compile",
	"datetime":                          "date time",
	"_codecs":                           "encode",
	"builtins":                          builtins,
	"__builtin__":                       builtins,
	"copyreg":                           "_reconstructor",
	"copy-reg":                          "_reconstructor", // see normalise
}

const (
	enumerations = "AddrTon AddrNpi EsmClass EsmClassMode EsmClassType EsmClassGsmFeatures PriorityFlag RegisteredDelivery RegisteredDeliveryReceipt " +
		"RegisteredDeliverySmeOriginatedAcks ReplaceIfPresentFlag"
	builtins = "getattr set frozenset tuple list dict bytes object"
)

// Call stands for a call of the class or function.
func (c *class) Call(args ...any) (any, error) {
	if !c.known {
		return &object{class: c.name, args: args}, nil
	}
	switch c.name {
	case "getattr":
		if len(args) == 2 {
			of, okOf := args[0].(*class)
			name, okName := args[1].(string)
			if okOf && okName && strings.HasPrefix(of.name, "pdu_types.") {
				return member{strings.TrimPrefix(of.name, "pdu_types."), name}, nil
			}
		}
	case "encode":
		if len(args) == 2 {
			s, okText := args[0].(string)
			if b, ok := latin1(s); ok && okText && args[1] == any("latin1") {
				return b, nil
			}
		}
	case "_reconstructor":
		if len(args) != 3 {
			break
		}
		made, ok := args[0].(*class)
		if !ok {
			break
		}
		o := &object{class: made.name}
		if state, ok := args[2].(*types.Tuple); ok {
			o.args = *state
		}
		return o, nil
	case "bytes":
		if len(args) == 0 {
			return []byte{}, nil
		}
	}
	return &object{class: c.name, args: args}, nil
}

// PyNew stands for the making of an object.
func (c *class) PyNew(args ...any) (any, error) { return &object{class: c.name, args: args}, nil }

// PySetState takes the attributes.
func (o *object) PySetState(state any) error {
	if both, ok := state.(*types.Tuple); ok && both.Len() == 2 && both.Get(0) != nil {
		state = both.Get(0) // the other has what is in slots, which nothing here has
	}
	d, ok := state.(*types.Dict)
	if !ok {
		return nil // as if there were none: what needs them says so
	}
	if o.attrs == nil {
		o.attrs = make(map[string]any, d.Len())
	}
	for _, e := range *d {
		if name, ok := str(e.Key); ok {
			o.attrs[name] = e.Value
		}
	}
	return nil
}

// Set and Append are for classes that are dictionaries or lists too; what is put into them is dropped.
func (o *object) Set(_, _ any) {}

// Append is as Set.
func (o *object) Append(any) {}

// latin1 gives the octets of a text of characters up to U+00FF.
func latin1(s string) ([]byte, bool) {
	out := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xFF {
			return nil, false
		}
		out = append(out, byte(r))
	}
	return out, true
}

// str gives a text: those of Python 2 and some of Python 3 are octets.
func str(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, utf8.ValidString(v)
	case []byte:
		return string(v), utf8.Valid(v)
	}
	return "", false
}

// decode reads a pickle. refused lists the classes that are not among classes; their objects do
// nothing either, and nothing is taken from them.
func decode(data []byte) (root any, refused []string, err error) {
	clean, err := normalise(data)
	if err != nil {
		return nil, nil, err
	}
	defer func() { // a pickle that no program writes, such as a dictionary with a key and no value
		if p := recover(); p != nil {
			root, err = nil, fmt.Errorf("is damaged: %v", p)
		}
	}()
	u := pickle.NewUnpickler(bytes.NewReader(clean))
	u.FindClass = func(module, name string) (any, error) {
		if !slices.Contains(strings.Fields(classes[module]), name) {
			full := module + "." + name
			if !slices.Contains(refused, full) && len(refused) < 100 {
				refused = append(refused, full)
			}
			return &class{name: full}, nil
		}
		if strings.HasSuffix(module, "pdu_types") {
			name = "pdu_types." + name
		}
		return &class{name: name, known: true}, nil
	}
	root, err = u.Load()
	return root, refused, err
}
