package localdb

import "encoding/binary"

// Namespace is the first octet of a key. 0x00 to 0x1f belong to this package.
type Namespace byte

const (
	nsExpiry Namespace = 0x01 // expiry, key: the index by time

	// FirstFree is the first namespace that users of the package may take.
	FirstFree Namespace = 0x20
)

// Key begins a key in the namespace; the Append functions continue it.
func (n Namespace) Key() []byte { return append(make([]byte, 0, 48), byte(n)) }

// Prefix is the key that every key of the namespace begins with.
func (n Namespace) Prefix() []byte { return []byte{byte(n)} }

// AppendUint64 appends n so that keys sort as numbers do.
func AppendUint64(key []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(key, n) }

// AppendUint32 is AppendUint64 in four octets.
func AppendUint32(key []byte, n uint32) []byte { return binary.BigEndian.AppendUint32(key, n) }

// AppendText appends s and an end mark, so that no text is a prefix of another one's key and keys sort
// as texts do. A zero octet in s is escaped.
func AppendText(key []byte, s string) []byte {
	for i := range len(s) {
		if s[i] == 0 {
			key = append(key, 0, 0xff)
			continue
		}
		key = append(key, s[i])
	}
	return append(key, 0, 1)
}

// CutText takes off what AppendText appended. ok is false when key does not begin with a text.
func CutText(key []byte) (s string, rest []byte, ok bool) {
	var text []byte
	for i := 0; i+1 < len(key); i++ {
		switch {
		case key[i] != 0:
			text = append(text, key[i])
		case key[i+1] == 1:
			return string(text), key[i+2:], true
		case key[i+1] == 0xff:
			text = append(text, 0)
			i++
		default:
			return "", nil, false
		}
	}
	return "", nil, false
}

// CutUint64 takes off what AppendUint64 appended.
func CutUint64(key []byte) (n uint64, rest []byte, ok bool) {
	if len(key) < 8 {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(key), key[8:], true
}

// PrefixEnd is the first key after all keys that begin with prefix; nil when there is no such key.
func PrefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] != 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}
