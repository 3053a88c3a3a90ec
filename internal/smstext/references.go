package smstext

import (
	"hash/maphash"
	"math/rand/v2"
	"sync/atomic"
)

// References hands out the reference numbers of long messages, which must differ
// between messages whose parts are under way to one recipient at a time (3GPP TS
// 23.040 §9.2.3.24.1).
//
// Each recipient counts for himself, so that his 8-bit numbers come round after
// 256 long messages to him, not to everybody. Recipients share a fixed number of
// counters by hash, so memory does not grow with them. Safe for concurrent use.
type References struct {
	seed     maphash.Seed
	counters [referenceCounters]atomic.Uint32
}

const referenceCounters = 4096

// NewReferences starts all counters at random, so that a restart does not repeat
// the numbers of messages that are still under way.
func NewReferences() *References {
	r := &References{seed: maphash.MakeSeed()}
	for i := range r.counters {
		r.counters[i].Store(rand.Uint32())
	}
	return r
}

// Next is the reference number of the next long message to dest. Its low 8 bits
// are good as an 8-bit one, which is what Split takes of it.
func (r *References) Next(dest string) uint16 {
	return uint16(r.counters[maphash.String(r.seed, dest)%referenceCounters].Add(1))
}
