package queue

import "runtime"

// gatherYields is how often Gather lets others run for the next delivery.
const gatherYields = 3

// Gather takes what is there already beside a first delivery, up to most in all, and waits for nothing. A
// consumer may hand its deliveries over one by one, by a goroutine that is let run for that: what needs no more than
// its turn is taken too.
func Gather(first *Delivery, more <-chan *Delivery, most int) []*Delivery {
	batch := []*Delivery{first}
	for yielded := 0; len(batch) < most; {
		select {
		case d, ok := <-more:
			if !ok {
				return batch
			}
			batch = append(batch, d)
			yielded = 0
		default:
			if yielded++; yielded > gatherYields {
				return batch
			}
			runtime.Gosched()
		}
	}
	return batch
}
