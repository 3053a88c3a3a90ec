package loadgen

import "math/bits"

// bitmap is a set of message numbers; it grows in blocks, so that no growth is long. The zero value
// is empty. Not safe for concurrent use.
type bitmap struct {
	blocks []*[blockWords]uint64
	count  uint64
}

const (
	blockWords = 1 << 10
	blockBits  = blockWords * 64
)

// set adds n and reports whether it was new.
func (b *bitmap) set(n uint64) bool {
	i := n / blockBits
	for uint64(len(b.blocks)) <= i {
		b.blocks = append(b.blocks, nil)
	}
	if b.blocks[i] == nil {
		b.blocks[i] = new([blockWords]uint64)
	}
	word, bit := &b.blocks[i][n%blockBits/64], uint64(1)<<(n%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	b.count++
	return true
}

// has reports whether n is in the set.
func (b *bitmap) has(n uint64) bool {
	i := n / blockBits
	return i < uint64(len(b.blocks)) && b.blocks[i] != nil && b.blocks[i][n%blockBits/64]&(1<<(n%64)) != 0
}

// max is the largest number in the set, 0 if it is empty.
func (b *bitmap) max() uint64 {
	for i := len(b.blocks) - 1; i >= 0; i-- {
		if b.blocks[i] == nil {
			continue
		}
		for w := blockWords - 1; w >= 0; w-- {
			if v := b.blocks[i][w]; v != 0 {
				return uint64(i)*blockBits + uint64(w)*64 + uint64(63-bits.LeadingZeros64(v))
			}
		}
	}
	return 0
}

// within calls f for each number of the set from low to high, in order, until f says no.
func (b *bitmap) within(low, high uint64, f func(n uint64) bool) {
	for n := low; n <= high; {
		i := n / blockBits
		if i >= uint64(len(b.blocks)) {
			return
		}
		if b.blocks[i] == nil {
			n = (i + 1) * blockBits
			continue
		}
		v := b.blocks[i][n%blockBits/64] >> (n % 64)
		if v == 0 {
			n = (n/64 + 1) * 64
			continue
		}
		n += uint64(bits.TrailingZeros64(v))
		if n > high || !f(n) {
			return
		}
		n++
	}
}

// clone is a copy.
func (b *bitmap) clone() *bitmap {
	c := &bitmap{blocks: make([]*[blockWords]uint64, len(b.blocks)), count: b.count}
	for i, block := range b.blocks {
		if block != nil {
			copied := *block
			c.blocks[i] = &copied
		}
	}
	return c
}
