package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/smpp/pdu"
)

// SinkConfig says where a Sink listens; "" for not at all.
type SinkConfig struct {
	SMPP string // host:port
	HTTP string // host:port
}

// Sink accepts everything and keeps nothing: an SMSC, and a /send, at the least cost, against which the load tool
// itself is measured.
//
// It answers binds of any system_id, submit_sm with a number as message_id, enquire_link and unbind;
// over HTTP, every request with Success "number".
type Sink struct {
	smpp, http net.Listener // nil for none
	ids        atomic.Uint64
	messages   atomic.Int64
}

// NewSink opens the listeners. Serve is to be called next.
func NewSink(cfg SinkConfig) (*Sink, error) {
	s := &Sink{}
	if cfg.SMPP == "" && cfg.HTTP == "" {
		return nil, errors.New("--listen, --http: at least one of them is needed")
	}
	var err error
	if cfg.SMPP != "" {
		if s.smpp, err = net.Listen("tcp", cfg.SMPP); err != nil {
			return nil, fmt.Errorf("--listen %s: %w", cfg.SMPP, err)
		}
	}
	if cfg.HTTP != "" {
		if s.http, err = net.Listen("tcp", cfg.HTTP); err != nil {
			if s.smpp != nil {
				s.smpp.Close() //nolint:errcheck // the first error counts
			}
			return nil, fmt.Errorf("--http %s: %w", cfg.HTTP, err)
		}
	}
	return s, nil
}

// SMPPAddr is the bound address of SMPP, "" if there is none.
func (s *Sink) SMPPAddr() string { return addrOf(s.smpp) }

// HTTPAddr is the bound address of HTTP, "" if there is none.
func (s *Sink) HTTPAddr() string { return addrOf(s.http) }

func addrOf(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}

// Messages is how many messages were taken.
func (s *Sink) Messages() int64 { return s.messages.Load() }

// Serve answers until ctx ends, and returns when nothing of it runs any more.
func (s *Sink) Serve(ctx context.Context) {
	var wg sync.WaitGroup
	if s.http != nil {
		h := &httpServer{s.http, s.success}
		wg.Go(func() { h.serve(ctx) })
	}
	if s.smpp != nil {
		wg.Go(func() { s.serveSMPP(ctx) })
	}
	wg.Wait()
}

// success answers a /send.
func (s *Sink) success(req request, dst []byte) []byte {
	path, _, _ := bytes.Cut(req.target, []byte{'?'})
	if string(path) != "/send" {
		return append(dst, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"...)
	}
	s.messages.Add(1)
	var body [40]byte
	b := strconv.AppendUint(append(body[:0], `Success "`...), s.ids.Add(1), 10)
	b = append(b, '"')
	dst = append(dst, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(b)), 10)
	return append(append(dst, "\r\n\r\n"...), b...)
}

func (s *Sink) serveSMPP(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { s.smpp.Close() })() //nolint:errcheck // it ends Accept
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxServed)
	for {
		conn, err := s.smpp.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			sleep(ctx, 10*time.Millisecond)
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			conn.Close() //nolint:errcheck // nothing came on it
			return
		}
		wg.Go(func() {
			defer func() { <-slots }()
			defer context.AfterFunc(ctx, func() { conn.Close() })() //nolint:errcheck // it ends the read
			defer conn.Close()                                      //nolint:errcheck // all was answered
			s.session(conn)
		})
	}
}

// session answers what comes and writes when nothing more is buffered.
func (s *Sink) session(conn net.Conn) {
	r := bufio.NewReaderSize(conn, 64<<10)
	var frame, out []byte
	var id [20]byte
	resp := &pdu.SubmitSMResp{}
	for {
		var err error
		if frame, err = pdu.ReadFrame(r, frame, 0); err != nil {
			conn.Write(out) //nolint:errcheck // the peer has lost its way, or has gone
			return
		}
		h, err := pdu.DecodeHeader(frame)
		if err != nil {
			return // no frame is shorter than a header
		}
		status, end := pdu.StatusOK, false
		var p pdu.PDU
		switch h.ID {
		case pdu.CmdSubmitSM:
			resp.MessageID = string(strconv.AppendUint(id[:0], s.ids.Add(1), 10))
			p = resp
			s.messages.Add(1)
		case pdu.CmdBindTransmitter:
			p = &pdu.BindResp{Type: pdu.Transmitter, SystemID: "sink"}
		case pdu.CmdBindTransceiver:
			p = &pdu.BindResp{Type: pdu.Transceiver, SystemID: "sink"}
		case pdu.CmdBindReceiver:
			p = &pdu.BindResp{Type: pdu.Receiver, SystemID: "sink"}
		case pdu.CmdEnquireLink:
			p = &pdu.EnquireLinkResp{}
		case pdu.CmdUnbind:
			p, end = &pdu.UnbindResp{}, true
		default:
			if !h.ID.IsResponse() {
				p, status = &pdu.GenericNack{}, pdu.StatusInvCmdID
			}
		}
		if p != nil {
			if out, err = pdu.Append(out, status, h.Sequence, p); err != nil {
				return
			}
		}
		if r.Buffered() > 0 && !end && len(out) < 64<<10 {
			continue
		}
		if _, err := conn.Write(out); err != nil || end {
			return
		}
		out = out[:0]
	}
}
