package routing

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

// FilterType is a kind of filter.
type FilterType uint8

// The filter types.
const (
	TransparentFilter     FilterType = iota + 1 // matches everything
	ConnectorFilter                             // cid: the connector that the message came in by
	UserFilter                                  // uid: the user who sends
	GroupFilter                                 // gid: the group of the user who sends
	SourceAddrFilter                            // source_addr: pattern
	DestinationAddrFilter                       // destination_addr: pattern
	ShortMessageFilter                          // short_message: pattern
	DateIntervalFilter                          // dateInterval: YYYY-MM-DD;YYYY-MM-DD, both included
	TimeIntervalFilter                          // timeInterval: HH:MM:SS;HH:MM:SS, both included; may cross midnight
	TagFilter                                   // tag: one of the message's tags
	EvalPyFilter                                // pyCode: path of a script, which is copied, or expr(rule)
	filterTypeEnd
)

var filterTypes = [filterTypeEnd]struct {
	name, parameter string
	usedFor         Direction
}{
	TransparentFilter:     {"TransparentFilter", "", MT | MO},
	ConnectorFilter:       {"ConnectorFilter", "cid", MO},
	UserFilter:            {"UserFilter", "uid", MT},
	GroupFilter:           {"GroupFilter", "gid", MT},
	SourceAddrFilter:      {"SourceAddrFilter", "source_addr", MT | MO},
	DestinationAddrFilter: {"DestinationAddrFilter", "destination_addr", MT | MO},
	ShortMessageFilter:    {"ShortMessageFilter", "short_message", MT | MO},
	DateIntervalFilter:    {"DateIntervalFilter", "dateInterval", MT | MO},
	TimeIntervalFilter:    {"TimeIntervalFilter", "timeInterval", MT | MO},
	TagFilter:             {"TagFilter", "tag", MT | MO},
	EvalPyFilter:          {"EvalPyFilter", "pyCode", MT | MO},
}

// FilterTypes lists every filter type in the order of the documentation.
func FilterTypes() []FilterType {
	var out []FilterType
	for t := TransparentFilter; t < filterTypeEnd; t++ {
		out = append(out, t)
	}
	return out
}

// ParseFilterType finds a filter type by its name in any case.
func ParseFilterType(name string) (FilterType, error) {
	names := make([]string, 0, len(filterTypes))
	for t := TransparentFilter; t < filterTypeEnd; t++ {
		if strings.EqualFold(name, t.String()) {
			return t, nil
		}
		names = append(names, t.String())
	}
	return 0, fmt.Errorf("unknown filter type %q, must be one of %s", name, strings.Join(names, ", "))
}

// String is the name, such as UserFilter.
func (t FilterType) String() string {
	if t < TransparentFilter || t >= filterTypeEnd {
		return fmt.Sprintf("FilterType(%d)", uint8(t))
	}
	return filterTypes[t].name
}

// Parameter is the key of the one parameter, such as uid; "" if the type has none.
func (t FilterType) Parameter() string {
	if t < TransparentFilter || t >= filterTypeEnd {
		return ""
	}
	return filterTypes[t].parameter
}

// UsedFor is the set of directions in which routes may have such a filter: an MO has no
// user, an MT no connector that it came in by.
func (t FilterType) UsedFor() Direction {
	if t < TransparentFilter || t >= filterTypeEnd {
		return 0
	}
	return filterTypes[t].usedFor
}

// Filter is a test of messages. It is immutable.
type Filter struct {
	fid     string
	typ     FilterType
	value   string
	pattern account.Pattern
	low     int // of an interval: yyyymmdd, or the seconds since midnight
	high    int
	script  *Script // of EvalPyFilter
}

// ValidFID tells whether s can identify a filter: 1 to 16 printable ASCII characters, none
// of them a space, a comma or a semicolon (the documentation's own example is From20*).
func ValidFID(s string) bool {
	return s != "" && len(s) <= 16 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7F || r == ';' || r == ',' })
}

// NewScriptFilter makes an EvalPyFilter of a script that was read, or of a rule.
func NewScriptFilter(fid string, script Script) (*Filter, error) {
	if !ValidFID(fid) {
		return nil, invalidFID(fid)
	}
	if err := script.Validate(); err != nil {
		return nil, fmt.Errorf("pyCode: %w", err)
	}
	value := script.Path
	if script.IsRule() {
		value = script.String()
	}
	return &Filter{fid: fid, typ: EvalPyFilter, value: value, script: &script}, nil
}

func invalidFID(fid string) error {
	return fmt.Errorf("fid: invalid value %q, must be 1 to 16 printable characters without space, comma and semicolon", fid)
}

// NewFilter makes a filter. value is that of the type's parameter, "" if it has none; an
// EvalPyFilter is made by NewScriptFilter.
//
// Patterns are anchored at the start of what they look at, not at its end (see
// account.Pattern).
func NewFilter(fid string, typ FilterType, value string) (*Filter, error) {
	if !ValidFID(fid) {
		return nil, invalidFID(fid)
	}
	if typ < TransparentFilter || typ >= filterTypeEnd {
		return nil, fmt.Errorf("type: %s is no filter type", typ)
	}
	f := &Filter{fid: fid, typ: typ, value: value}
	if err := f.compile(); err != nil {
		if typ.Parameter() == "" {
			return nil, err
		}
		return nil, fmt.Errorf("%s: %w", typ.Parameter(), err)
	}
	return f, nil
}

func (f *Filter) compile() (err error) {
	switch f.typ {
	case TransparentFilter:
		if f.value != "" {
			return errors.New("TransparentFilter has no parameter")
		}
	case ConnectorFilter:
		if !smppc.ValidCID(f.value) {
			return invalid(f.value, "3 to 25 characters of A-Z, a-z, 0-9, _ and -")
		}
	case UserFilter, GroupFilter:
		if !account.ValidUID(f.value) { // a gid has the same form
			return invalid(f.value, "1 to 16 characters of A-Z, a-z, 0-9, _ and -")
		}
	case SourceAddrFilter, DestinationAddrFilter, ShortMessageFilter:
		f.pattern, err = account.CompilePattern(f.value)
	case DateIntervalFilter:
		f.low, f.high, err = interval(f.value, time.DateOnly, "YYYY-MM-DD", func(t time.Time) int { return dayNumber(t.Date()) })
		if err == nil && f.low > f.high {
			err = fmt.Errorf("%q: the right border must not be before the left one", f.value)
		}
	case TimeIntervalFilter:
		f.low, f.high, err = interval(f.value, time.TimeOnly, "HH:MM:SS", func(t time.Time) int { return secondOfDay(t.Clock()) })
		if err == nil && f.low == f.high {
			err = fmt.Errorf("%q: the two borders must differ", f.value)
		}
	case TagFilter:
		if f.value == "" || len(f.value) > 64 || strings.ContainsFunc(f.value, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) {
			return invalid(f.value, "1 to 64 characters of A-Z, a-z, 0-9, _ and -")
		}
	case EvalPyFilter:
		return errors.New("the script was not read")
	}
	return err
}

func invalid(value, want string) error {
	return fmt.Errorf("invalid value %q, must be %s", value, want)
}

func interval(value, layout, form string, number func(time.Time) int) (low, high int, err error) {
	left, right, ok := strings.Cut(value, ";")
	if !ok {
		return 0, 0, invalid(value, form+";"+form)
	}
	var numbers [2]int
	for i, s := range [2]string{left, right} {
		t, err := time.Parse(layout, s)
		if err != nil || len(s) != len(layout) { // a fraction of a second would parse
			return 0, 0, invalid(value, form+";"+form)
		}
		numbers[i] = number(t)
	}
	return numbers[0], numbers[1], nil
}

func dayNumber(y int, m time.Month, d int) int { return y*10000 + int(m)*100 + d }

func secondOfDay(h, m, s int) int { return h*3600 + m*60 + s }

// FID identifies the filter.
func (f *Filter) FID() string { return f.fid }

// Type is the filter's type.
func (f *Filter) Type() FilterType { return f.typ }

// Value is the value of the type's one parameter, as it was written.
func (f *Filter) Value() string { return f.value }

// Script is the script of an EvalPyFilter; nil for every other type.
func (f *Filter) Script() *Script { return f.script }

// Match tells whether a message passes the filter. It allocates nothing, unless it runs a
// script; that of one filter runs on one Message once.
func (f *Filter) Match(m *Message) bool {
	switch f.typ {
	case TransparentFilter:
		return true
	case ConnectorFilter:
		return m.Connector == sms.ConnectorID(f.value)
	case UserFilter:
		return m.User == sms.UserID(f.value)
	case GroupFilter:
		return m.Group == sms.GroupID(f.value)
	case SourceAddrFilter:
		return f.pattern.Match(m.Source)
	case DestinationAddrFilter:
		return f.pattern.Match(m.Destination)
	case ShortMessageFilter:
		return f.pattern.Match(m.Content)
	case DateIntervalFilter:
		d := dayNumber(m.Time.Date())
		return f.low <= d && d <= f.high
	case TimeIntervalFilter:
		return f.matchTime(m.Time)
	case TagFilter:
		return slices.Contains(m.Tags, f.value)
	case EvalPyFilter:
		return m.evaluate(f.script)
	}
	return false
}

// matchAll tells whether a message passes every filter.
func matchAll(filters []*Filter, m *Message) bool {
	for _, f := range filters {
		if !f.Match(m) {
			return false
		}
	}
	return true
}

// matchTime includes both borders to the exact instant: with 18:00:00 on the right,
// 18:00:00.5 is outside (Jasmin: compares times with microseconds).
func (f *Filter) matchTime(t time.Time) bool {
	s := secondOfDay(t.Clock())
	beforeRight := s < f.high || s == f.high && t.Nanosecond() == 0
	if f.low < f.high {
		return f.low <= s && beforeRight
	}
	return f.low <= s || beforeRight
}
