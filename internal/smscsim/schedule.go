package smscsim

import (
	"context"
	"sync"
	"time"
)

// task is something to be done later. It must not block.
type task struct {
	at  int64 // instant
	seq uint64
	do  func()
}

// schedule runs tasks at their time, in order, from one goroutine.
//
// mu guards what stands under it.
type schedule struct {
	epoch time.Time
	wake  chan struct{}

	mu    sync.Mutex
	tasks []task // a heap
	seq   uint64
	hurry bool // everything is due
}

func newSchedule() *schedule {
	return &schedule{epoch: time.Now(), wake: make(chan struct{}, 1)}
}

// after has f done in d.
func (s *schedule) after(d time.Duration, f func()) {
	at := int64(time.Since(s.epoch) + d)
	s.mu.Lock()
	s.seq++
	s.tasks = append(s.tasks, task{at, s.seq, f})
	s.up(len(s.tasks) - 1)
	first := s.tasks[0].seq == s.seq
	s.mu.Unlock()
	if first {
		s.poke()
	}
}

// flush makes everything due, also what comes from now on.
func (s *schedule) flush() {
	s.mu.Lock()
	s.hurry = true
	s.mu.Unlock()
	s.poke()
}

// waiting is the number of tasks.
func (s *schedule) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tasks)
}

func (s *schedule) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run does what is due until ctx ends.
func (s *schedule) run(ctx context.Context) {
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for ctx.Err() == nil {
		f, wait := s.next()
		if f != nil {
			f()
			continue
		}
		t.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-t.C:
		}
	}
}

// next takes a task that is due, or says how long to wait.
func (s *schedule) next() (func(), time.Duration) {
	now := int64(time.Since(s.epoch))
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tasks) == 0 {
		return nil, time.Hour
	}
	if first := s.tasks[0]; first.at > now && !s.hurry {
		return nil, time.Duration(first.at - now)
	}
	f := s.tasks[0].do
	last := len(s.tasks) - 1
	s.tasks[0] = s.tasks[last]
	s.tasks[last] = task{}
	s.tasks = s.tasks[:last]
	s.down(0)
	return f, 0
}

func (s *schedule) less(i, j int) bool {
	a, b := &s.tasks[i], &s.tasks[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

func (s *schedule) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !s.less(i, parent) {
			return
		}
		s.tasks[i], s.tasks[parent] = s.tasks[parent], s.tasks[i]
		i = parent
	}
}

func (s *schedule) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(s.tasks) {
			return
		}
		if child+1 < len(s.tasks) && s.less(child+1, child) {
			child++
		}
		if !s.less(child, i) {
			return
		}
		s.tasks[i], s.tasks[child] = s.tasks[child], s.tasks[i]
		i = child
	}
}
