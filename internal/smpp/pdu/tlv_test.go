package pdu

import (
	"reflect"
	"testing"
)

func TestTLVsRead(t *testing.T) {
	l := TLVs{{1, []byte{7}}, {2, []byte{1, 2}}, {3, []byte{1, 2, 3, 4}}, {4, []byte("id\x00")}, {5, []byte("id")}, {6, nil}, {1, []byte{8}}}
	if v, ok := l.Uint8(1); v != 7 || !ok {
		t.Errorf("Uint8: %d, %v; want the first", v, ok)
	}
	if v, ok := l.Uint16(2); v != 0x0102 || !ok {
		t.Errorf("Uint16: %x, %v", v, ok)
	}
	if v, ok := l.Uint32(3); v != 0x01020304 || !ok {
		t.Errorf("Uint32: %x, %v", v, ok)
	}
	for _, tag := range []Tag{4, 5} {
		if v, ok := l.CString(tag); v != "id" || !ok {
			t.Errorf("CString(%d): %q, %v", tag, v, ok)
		}
	}
	if v, ok := l.CString(6); v != "" || !ok {
		t.Errorf("CString of an empty value: %q, %v", v, ok)
	}
	for _, tag := range []Tag{4, 6, 9} { // wrong size, empty, absent
		_, ok8 := l.Uint8(tag)
		_, ok16 := l.Uint16(tag)
		_, ok32 := l.Uint32(tag)
		if ok8 || ok16 || ok32 {
			t.Errorf("tag %d is taken for a number: %v %v %v", tag, ok8, ok16, ok32)
		}
	}
	if _, ok := l.CString(9); ok {
		t.Error("an absent TLV is there")
	}
}

func TestTLVsWrite(t *testing.T) {
	var l TLVs
	l.Add(1, []byte("a"))
	l.SetUint8(2, 1)
	l.Add(1, []byte("b"))
	l.SetUint16(3, 0x0102)
	l.SetUint32(4, 0x01020304)
	l.Add(1, []byte("c"))
	l.SetCString(5, "id")
	backing := l
	l.Set(1, []byte("new"))
	want := TLVs{{1, []byte("new")}, {2, []byte{1}}, {3, []byte{1, 2}}, {4, []byte{1, 2, 3, 4}}, {5, []byte("id\x00")}}
	if !reflect.DeepEqual(l, want) {
		t.Errorf("Set replaces the first and removes the others, in place\n got %v\nwant %v", l, want)
	}
	if last := backing[len(backing)-1]; last.Value != nil {
		t.Errorf("a removed value is still held: %v", last)
	}
	l.Del(2)
	l.Del(99)
	if want := append(want[:1:1], want[2:]...); !reflect.DeepEqual(l, want) {
		t.Errorf("Del\n got %v\nwant %v", l, want)
	}
}
