// Package metrics gives counters, which live elsewhere, as atomics, their names: those of the console's stats and those of
// Prometheus, both exact. They are the original's, and ours beside them.
package metrics

import (
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Emit reports one value of a metric under a label's value.
type Emit func(label string, v float64)

// metric is one name with its source.
type metric struct {
	name   string
	help   string
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	single func() float64
	each   func(Emit)
}

// Set is a collection of metrics. Add everything before Ready or the first scrape. It is a
// prometheus.Collector, and an http.Handler that serves itself.
type Set struct {
	metrics []metric
	faults  []error

	once    sync.Once // guards what follows
	handler http.Handler
	err     error
}

func (s *Set) add(m metric, labels []string) {
	m.desc = prometheus.NewDesc(m.name, m.help, labels, nil)
	s.metrics = append(s.metrics, m)
}

func (s *Set) fault(err error) { s.faults = append(s.faults, err) }

// Counter adds a value that only grows.
func (s *Set) Counter(name, help string, f func() float64) {
	s.add(metric{name: name, help: help, kind: prometheus.CounterValue, single: f}, nil)
}

// Gauge adds a value that comes and goes.
func (s *Set) Gauge(name, help string, f func() float64) {
	s.add(metric{name: name, help: help, kind: prometheus.GaugeValue, single: f}, nil)
}

// CounterEach adds growing values that differ in one label, whose values must be a bounded set.
func (s *Set) CounterEach(name, help, label string, f func(Emit)) {
	s.add(metric{name: name, help: help, kind: prometheus.CounterValue, each: f}, []string{label})
}

// GaugeEach adds values that come and go and differ in one label, whose values must be a bounded set.
func (s *Set) GaugeEach(name, help, label string, f func(Emit)) {
	s.add(metric{name: name, help: help, kind: prometheus.GaugeValue, each: f}, []string{label})
}

// Describe sends the descriptions.
func (s *Set) Describe(ch chan<- *prometheus.Desc) {
	for i := range s.metrics {
		ch <- s.metrics[i].desc
	}
}

// Collect reads all values.
func (s *Set) Collect(ch chan<- prometheus.Metric) {
	for i := range s.metrics {
		m := &s.metrics[i]
		if m.single != nil {
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.single())
			continue
		}
		m.each(func(label string, v float64) { ch <- prometheus.MustNewConstMetric(m.desc, m.kind, v, label) })
	}
}

// Ready tells what is wrong with the set.
func (s *Set) Ready() error {
	s.once.Do(func() { s.handler, s.err = s.Handler() })
	return s.err
}

// ServeHTTP serves what Handler serves.
func (s *Set) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.Ready(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.handler.ServeHTTP(w, r)
}

// Handler serves the set and the process's own figures in the text format.
func (s *Set) Handler() (http.Handler, error) {
	if err := errors.Join(s.faults...); err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	for i := range s.metrics {
		name := s.metrics[i].name
		if seen[name] {
			return nil, fmt.Errorf("metric %s is defined twice", name)
		}
		seen[name] = true
	}
	r := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{s, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{EnableOpenMetrics: false, ErrorHandling: promhttp.HTTPErrorOnError}), nil
}
