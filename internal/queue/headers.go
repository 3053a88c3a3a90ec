package queue

import (
	"fmt"
	"slices"
)

// Header is one named value: text, or an integer when IsInt.
type Header struct {
	Name  string
	Str   string
	Int   int64
	IsInt bool
}

// Headers is a short ordered list of named values. On AMQP text becomes a long string
// and an integer a signed 64-bit integer ('l').
type Headers []Header

// Str gives the text under a name, "" if there is none.
func (h Headers) Str(name string) string {
	for i := range h {
		if h[i].Name == name {
			return h[i].Str
		}
	}
	return ""
}

// Int gives the integer under a name, 0 if there is none.
func (h Headers) Int(name string) int64 {
	for i := range h {
		if h[i].Name == name {
			return h[i].Int
		}
	}
	return 0
}

// integer is Int for headers that mean something else if they are no integer, or negative.
func (h Headers) integer(name string) (int64, error) {
	for i := range h {
		switch {
		case h[i].Name != name:
			continue
		case !h[i].IsInt:
			return 0, fmt.Errorf("header %s is the text %.40q, not an integer", name, h[i].Str)
		case h[i].Int < 0:
			return 0, fmt.Errorf("header %s is negative: %d", name, h[i].Int)
		}
		return h[i].Int, nil
	}
	return 0, nil
}

// Has tells whether a name is there.
func (h Headers) Has(name string) bool {
	for i := range h {
		if h[i].Name == name {
			return true
		}
	}
	return false
}

// WithStr returns h with a text under a name, replacing what was there. Empty text is stored too.
func (h Headers) WithStr(name, value string) Headers {
	for i := range h {
		if h[i].Name == name {
			h[i] = Header{Name: name, Str: value}
			return h
		}
	}
	return append(h, Header{Name: name, Str: value})
}

// WithInt returns h with an integer under a name, replacing what was there.
func (h Headers) WithInt(name string, value int64) Headers {
	for i := range h {
		if h[i].Name == name {
			h[i] = Header{Name: name, Int: value, IsInt: true}
			return h
		}
	}
	return append(h, Header{Name: name, Int: value, IsInt: true})
}

// without gives a copy that has none of the names.
func (h Headers) without(names ...string) Headers {
	out := make(Headers, 0, len(h)+1)
	for i := range h {
		if !slices.Contains(names, h[i].Name) {
			out = append(out, h[i])
		}
	}
	return out
}

// Clone gives an independent copy.
func (h Headers) Clone() Headers { return append(Headers(nil), h...) }
