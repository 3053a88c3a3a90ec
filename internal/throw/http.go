// Package throw delivers DLRs to the HTTP endpoints that asked for them, again and again
// until they are acknowledged (Jasmin: DLRThrower).
//
// Delivery is at least once: an endpoint may see the same DLR twice after a crash, or when
// its acknowledgement came too late. A repeat carries the same parameters, so an endpoint
// that stores the state by message id and level is not harmed.
package throw

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
)

// Config holds the settings of a thrower ([dlr-thrower] in jasmin.cfg).
type Config struct {
	Timeout     time.Duration // http_timeout: a whole call, default 30 s
	RetryDelay  time.Duration // retry_delay, default 30 s
	MaxRetries  int           // max_retries after the first try, default 3; 0: none
	PerHost     int           // calls under way to one host, default 16
	WaitPerHost int           // DLRs that wait here for a busy host, default 64; more go back to the queue
	Prefetch    int           // DLRs taken from the queue and not settled, default 1024
	TLS         *tls.Config   // for https; nil: the system's roots
	UserAgent   string        // default "Jasmin gateway/1.0 DLRThrower"
}

func (c *Config) defaults() {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if c.RetryDelay <= 0 {
		c.RetryDelay = 30 * time.Second
	}
	def(&c.PerHost, 16)
	def(&c.WaitPerHost, 64)
	def(&c.Prefetch, 1024)
	if c.UserAgent == "" {
		c.UserAgent = "Jasmin gateway/1.0 DLRThrower"
	}
}

// Metrics counts what a thrower did. Fields may be read at any time.
type Metrics struct {
	Delivered atomic.Int64 // acknowledged by the endpoint
	Failed    atomic.Int64 // calls that were not acknowledged
	Deferred  atomic.Int64 // put back because their host was busy
	Dead      atomic.Int64 // given up, moved to the dead-letter queue
}

// consumer subscribes to a queue.
type consumer interface {
	Consume(ctx context.Context, name queue.Name, prefetch int) (queue.Consumer, error)
}

// HTTP throws DLRs from dlr_thrower.http. Create it with NewHTTP.
type HTTP struct {
	cfg     Config
	broker  consumer
	journal journal.Journal
	log     *slog.Logger
	client  *http.Client
	Metrics Metrics
	done    chan outcome
}

// outcome is what became of one delivery.
type outcome struct {
	d     *queue.Delivery
	kind  outcomeKind
	after time.Duration
	why   string
}

type outcomeKind uint8

const (
	delivered outcomeKind = iota
	retry
	deferred
	dead
)

// NewHTTP makes the thrower; Run starts it.
func NewHTTP(cfg Config, broker consumer, j journal.Journal, log *slog.Logger) *HTTP {
	cfg.defaults()
	return &HTTP{
		cfg: cfg, broker: broker, journal: j, log: log,
		done: make(chan outcome, cfg.Prefetch),
		client: &http.Client{
			Timeout: cfg.Timeout,
			// An acknowledgement is the endpoint's own: a redirect is none.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				Proxy:                  http.ProxyFromEnvironment,
				DialContext:            (&net.Dialer{Timeout: min(cfg.Timeout, 10*time.Second), KeepAlive: 30 * time.Second}).DialContext,
				TLSClientConfig:        cfg.TLS,
				MaxIdleConns:           1024,
				MaxIdleConnsPerHost:    cfg.PerHost,
				MaxConnsPerHost:        cfg.PerHost,
				IdleConnTimeout:        90 * time.Second,
				ResponseHeaderTimeout:  cfg.Timeout,
				MaxResponseHeaderBytes: 64 << 10,
				DisableCompression:     true,
			},
		},
	}
}

// Run throws until ctx ends. Calls under way then are cut off; their DLRs go back to the queue.
func (t *HTTP) Run(ctx context.Context) error {
	c, err := t.broker.Consume(ctx, queue.DLRThrowerHTTP, t.cfg.Prefetch)
	if err != nil {
		return fmt.Errorf("consume %s: %w", queue.DLRThrowerHTTP, err)
	}
	defer t.client.CloseIdleConnections()
	defer c.Close(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { t.settleLoop(ctx) })
	hosts := &hosts{byName: make(map[string]*host), perHost: t.cfg.PerHost, wait: t.cfg.WaitPerHost}
	for {
		select {
		case <-ctx.Done():
			wg.Wait()
			return nil
		case d, ok := <-c.C():
			if !ok {
				<-ctx.Done()
				wg.Wait()
				return nil
			}
			t.dispatch(ctx, &wg, hosts, d)
		}
	}
}

// job is a DLR that was decoded.
type job struct {
	d   *queue.Delivery
	dlr *queue.HTTPDLR
	url *url.URL
}

func (t *HTTP) dispatch(ctx context.Context, wg *sync.WaitGroup, hs *hosts, d *queue.Delivery) {
	dlr, err := queue.DecodeHTTPDLR(&d.Message)
	if err != nil {
		t.finish(outcome{d: d, kind: dead, why: err.Error()})
		return
	}
	u, err := url.Parse(dlr.URL)
	if err == nil && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		err = fmt.Errorf("dlr-url %q is no http or https URL", dlr.URL)
	}
	if err != nil {
		t.finish(outcome{d: d, kind: dead, why: err.Error()})
		return
	}
	j := job{d, dlr, u}
	switch v, after := hs.take(u.Host, j, int64(d.Attempts) > d.Headers.Int(queue.HeaderThrows)); v {
	case start:
		wg.Go(func() { t.serve(ctx, hs, j) })
	case full:
		t.finish(outcome{d: d, kind: deferred, after: after})
	}
}

// serve calls the endpoint for j and for what waits for the same host meanwhile.
func (t *HTTP) serve(ctx context.Context, hs *hosts, j job) {
	for ok := true; ok && ctx.Err() == nil; {
		began := time.Now()
		t.finish(t.call(ctx, j))
		j, ok = hs.next(j.url.Host, time.Since(began))
	}
}

// finish hands an outcome to the settle loop. The channel has room for all deliveries that
// can be out, so it never blocks.
func (t *HTTP) finish(o outcome) { t.done <- o }

const settleMax = 256

func (t *HTTP) settleLoop(ctx context.Context) {
	for {
		var e journal.Entry
		select {
		case <-ctx.Done():
			return
		case o := <-t.done:
			t.account(&e, o)
		}
	fill:
		for range settleMax {
			select {
			case o := <-t.done:
				t.account(&e, o)
			default:
				break fill
			}
		}
		for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
			err := t.journal.Commit(ctx, &e)
			if err == nil || ctx.Err() != nil {
				break
			}
			t.log.Warn("settling DLRs will be retried", "count", len(e.Ack)+len(e.Retry), "in", wait, "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
		}
	}
}

func (t *HTTP) account(e *journal.Entry, o outcome) {
	switch o.kind {
	case delivered:
		t.Metrics.Delivered.Add(1)
		e.Ack = append(e.Ack, journal.Ack{Delivery: o.d})
	case deferred:
		t.Metrics.Deferred.Add(1)
		e.Retry = append(e.Retry, queue.Retry{Delivery: o.d, After: o.after})
	case retry:
		h := o.d.Headers.Clone().WithInt(queue.HeaderThrows, o.d.Headers.Int(queue.HeaderThrows)+1)
		e.Retry = append(e.Retry, queue.Retry{Delivery: o.d, After: o.after, Headers: h})
	case dead:
		t.Metrics.Dead.Add(1)
		t.log.Error("DLR given up, moved to the dead-letter queue", "msgid", o.d.ID, "url", o.d.Headers.Str(queue.HeaderURL), "err", o.why)
		e.Publish = append(e.Publish, queue.Bury(o.d, o.why))
		e.Ack = append(e.Ack, journal.Ack{Delivery: o.d})
	}
}

// answerMax is how much of an answer is read: the acknowledgement is ten characters.
const answerMax = 4 << 10

// Acknowledgement is the body by which an endpoint acknowledges, white space around it allowed.
const Acknowledgement = "ACK/Jasmin"

// call calls the endpoint once.
func (t *HTTP) call(ctx context.Context, j job) outcome {
	req, err := t.request(ctx, j)
	if err != nil {
		return outcome{d: j.d, kind: dead, why: err.Error()}
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return t.failed(j, err, false)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	switch {
	case err != nil:
		return t.failed(j, fmt.Errorf("read answer: %w", err), false)
	case resp.StatusCode == http.StatusNotFound:
		return t.failed(j, errors.New("HTTP 404, which is final"), true)
	case resp.StatusCode >= 300:
		return t.failed(j, fmt.Errorf("HTTP %d", resp.StatusCode), false)
	case !bytes.Equal(bytes.TrimSpace(body), []byte(Acknowledgement)):
		return t.failed(j, fmt.Errorf("HTTP %d, but the body is %.40q instead of %s", resp.StatusCode, body, Acknowledgement), false)
	}
	t.log.Info("DLR-HTTP [msgid:" + string(j.dlr.MsgID) + "] [status:" + j.dlr.Status + "] [level:" + strconv.Itoa(j.dlr.Level) + "] [url:" + loggedURL(j.url) + "]")
	return outcome{d: j.d, kind: delivered}
}

func (t *HTTP) failed(j job, err error, final bool) outcome {
	t.Metrics.Failed.Add(1)
	throws := int(j.d.Headers.Int(queue.HeaderThrows)) + 1
	if final || throws > t.cfg.MaxRetries {
		return outcome{d: j.d, kind: dead, why: fmt.Sprintf("try %d: %v", throws, err)}
	}
	t.log.Warn("DLR was not acknowledged, will be retried", "msgid", string(j.dlr.MsgID), "status", j.dlr.Status, "level", j.dlr.Level,
		"url", loggedURL(j.url), "try", throws, "in", t.cfg.RetryDelay, "err", err)
	return outcome{d: j.d, kind: retry, after: t.cfg.RetryDelay}
}

// loggedURL is the URL without credentials and query, either of which may hold secrets.
func loggedURL(u *url.URL) string {
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// request builds the call: parameters in the query for GET, as a form for POST.
func (t *HTTP) request(ctx context.Context, j job) (*http.Request, error) {
	params := Parameters(j.dlr)
	u := *j.url
	var body io.Reader
	method := strings.ToUpper(j.dlr.Method)
	switch method {
	case http.MethodGet:
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += params.Encode()
	case http.MethodPost:
		body = strings.NewReader(params.Encode())
	default:
		return nil, fmt.Errorf("dlr-method %q is neither GET nor POST", j.dlr.Method)
	}
	u.Fragment = ""
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("dlr-url %q: %w", loggedURL(j.url), err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("User-Agent", t.cfg.UserAgent)
	return req, nil
}

// Parameters are what an endpoint is told: id, message_status, level and connector at level
// 1; id_smsc, subdate, donedate, sub, dlvrd, err and text besides at level 2 (HTTP API,
// "Receiving DLR").
func Parameters(d *queue.HTTPDLR) url.Values {
	v := url.Values{
		"id":             {string(d.MsgID)},
		"message_status": {d.Status},
		"level":          {strconv.Itoa(d.Level)},
		"connector":      {string(d.CID)},
	}
	if d.Level != 1 {
		v.Set("id_smsc", d.IDSMSC)
		v.Set("sub", d.Sub)
		v.Set("dlvrd", d.Dlvrd)
		v.Set("subdate", d.SubDate)
		v.Set("donedate", d.DoneDate)
		v.Set("err", d.Err)
		v.Set("text", d.Text)
	}
	return v
}
