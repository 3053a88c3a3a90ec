package loadgen

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// What a message on an HTTP connection may have.
const (
	maxLine    = 8 << 10  // octets of a line: the size of the readers
	maxHeaders = 100      // header lines
	maxInterim = 10       // 1xx answers before the real one
	maxKept    = 8 << 10  // octets of a body that are kept
	maxBody    = 16 << 20 // octets of a body at all
)

// malformed is an answer or a request that is not HTTP/1.x (RFC 9112).
type malformed string

func (e malformed) Error() string { return "malformed HTTP: " + string(e) }

// answer is what came back: the status and the start of the body, which stays valid until
// the next one is read.
type answer struct {
	status int
	body   []byte
	close  bool // the connection is of no more use
	cut    bool // the body was longer than what was kept
}

// headers are those that frame a message.
type headers struct {
	length  int64 // -1 when not given
	chunked bool
	close   bool
	keep    bool // keep-alive was asked for, which HTTP/1.0 needs
	expect  bool // 100-continue
}

// readLine reads a line without its end; it stays valid until the next read.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, malformed("line too long")
	case errors.Is(err, io.EOF):
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	}
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, nil
}

// readHeaders reads to the empty line.
func readHeaders(r *bufio.Reader) (headers, error) {
	h := headers{length: -1}
	for range maxHeaders {
		line, err := readLine(r)
		if err != nil {
			return h, err
		}
		if len(line) == 0 {
			return h, nil
		}
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok {
			return h, malformed("header line without a colon")
		}
		if err := h.take(name, bytes.TrimSpace(value)); err != nil {
			return h, err
		}
	}
	return h, malformed("too many header lines")
}

// take looks at one header.
func (h *headers) take(name, value []byte) error {
	switch len(name) { // most headers are told apart by their length alone
	case len("Content-Length"):
		if bytes.EqualFold(name, []byte("Content-Length")) {
			n, err := strconv.ParseUint(string(value), 10, 62)
			if err != nil {
				return malformed(fmt.Sprintf("Content-Length %.20q", value))
			}
			if h.length >= 0 && h.length != int64(n) {
				return malformed("two different Content-Length")
			}
			h.length = int64(n)
		}
	case len("Transfer-Encoding"):
		if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
			if !bytes.EqualFold(value, []byte("chunked")) {
				return malformed(fmt.Sprintf("Transfer-Encoding %.20q", value))
			}
			h.chunked = true
		}
	case len("Connection"):
		if bytes.EqualFold(name, []byte("Connection")) {
			h.close = h.close || bytes.EqualFold(value, []byte("close"))
			h.keep = h.keep || bytes.EqualFold(value, []byte("keep-alive"))
		}
	case len("Expect"):
		if bytes.EqualFold(name, []byte("Expect")) {
			h.expect = bytes.EqualFold(value, []byte("100-continue"))
		}
	}
	return nil
}

// version reads HTTP/1.0 or HTTP/1.1.
func version(b []byte) (minor int, ok bool) {
	switch string(b) {
	case "HTTP/1.1":
		return 1, true
	case "HTTP/1.0":
		return 0, true
	}
	return 0, false
}

// readAnswer reads a response; its body goes to kept, up to its capacity. io.EOF means that
// the connection ended before the first octet.
func readAnswer(r *bufio.Reader, kept []byte) (answer, error) {
	for range maxInterim {
		a, h, minor, err := readStatus(r)
		if err != nil {
			return a, err
		}
		if a.status >= 100 && a.status < 200 {
			if a.status == 101 {
				return a, malformed("switching protocols")
			}
			continue
		}
		a.close = h.close || minor == 0 && !h.keep
		if a.status == 204 || a.status == 304 {
			return a, nil
		}
		if !h.chunked && h.length < 0 {
			a.close = true
		}
		a.body, a.cut, err = readBody(r, kept, h, true)
		return a, err
	}
	return answer{}, malformed("too many interim answers")
}

func readStatus(r *bufio.Reader) (answer, headers, int, error) {
	if _, err := r.Peek(1); err != nil {
		return answer{}, headers{}, 0, err
	}
	line, err := readLine(r)
	if err != nil {
		return answer{}, headers{}, 0, err
	}
	if len(line) < len("HTTP/1.1 200") || line[8] != ' ' {
		return answer{}, headers{}, 0, malformed(fmt.Sprintf("status line %.40q", line))
	}
	minor, ok := version(line[:8])
	status, err := strconv.Atoi(string(line[9:12]))
	if !ok || err != nil || status < 100 || len(line) > 12 && line[12] != ' ' {
		return answer{}, headers{}, 0, malformed(fmt.Sprintf("status line %.40q", line))
	}
	h, err := readHeaders(r)
	if err == nil && minor == 0 && h.chunked {
		err = malformed("Transfer-Encoding in HTTP/1.0") // its framing is in doubt (RFC 9112 §6.1)
	}
	return answer{status: status}, h, minor, err
}

// readBody reads a body and keeps its start. toEOF says what no length means: everything up
// to the end of the connection, or no body.
func readBody(r *bufio.Reader, kept []byte, h headers, toEOF bool) (body []byte, cut bool, err error) {
	body = kept[:0]
	switch {
	case h.chunked:
		return readChunks(r, body)
	case h.length >= 0:
		if h.length > maxBody {
			return body, true, malformed("body too long")
		}
		return readOctets(r, body, h.length)
	case !toEOF:
		return body, false, nil
	}
	body, cut, err = readOctets(r, body, maxBody)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return body, cut, nil
	}
	if err == nil {
		err = malformed("body too long")
	}
	return body, cut, err
}

// readOctets reads n octets and appends those that fit in body's capacity to it.
func readOctets(r *bufio.Reader, body []byte, n int64) ([]byte, bool, error) {
	cut := false
	for n > 0 {
		b, err := r.Peek(int(min(n, int64(max(r.Buffered(), 1)))))
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return body, cut, err
		}
		room := cap(body) - len(body)
		cut = cut || len(b) > room
		body = append(body, b[:min(len(b), room)]...)
		n -= int64(len(b))
		r.Discard(len(b)) //nolint:errcheck // it is buffered
	}
	return body, cut, nil
}

// readChunks reads a chunked body and its trailer.
func readChunks(r *bufio.Reader, body []byte) ([]byte, bool, error) {
	cut, total := false, uint64(0)
	for {
		line, err := readLine(r)
		if err != nil {
			return body, cut, err
		}
		size, _, _ := bytes.Cut(line, []byte{';'})
		n, err := strconv.ParseUint(string(bytes.TrimSpace(size)), 16, 32)
		if err != nil {
			return body, cut, malformed(fmt.Sprintf("chunk size %.20q", size))
		}
		if n == 0 {
			_, err := readHeaders(r)
			return body, cut, err
		}
		if total += n; total > maxBody {
			return body, cut, malformed("body too long")
		}
		var c bool
		if body, c, err = readOctets(r, body, int64(n)); err != nil {
			return body, cut || c, err
		}
		cut = cut || c
		if line, err = readLine(r); err != nil {
			return body, cut, err
		}
		if len(line) != 0 {
			return body, cut, malformed("chunk longer than its size")
		}
	}
}

// request is what a client asked: the target and the start of the body, both valid until the
// next one is read.
type request struct {
	method string
	target []byte
	body   []byte
	close  bool
}

// readRequest reads a request. buf keeps target and body. io.EOF means that the connection
// ended between two requests. before, which may be nil, is called when the client waits for 100 Continue.
func readRequest(r *bufio.Reader, buf []byte, before func() error) (request, error) {
	if _, err := r.Peek(1); err != nil {
		return request{}, err
	}
	line, err := readLine(r)
	if err != nil {
		return request{}, err
	}
	method, rest, ok1 := bytes.Cut(line, []byte{' '})
	target, proto, ok2 := bytes.Cut(rest, []byte{' '})
	minor, ok3 := version(proto)
	if !ok1 || !ok2 || !ok3 {
		return request{}, malformed(fmt.Sprintf("request line %.40q", line))
	}
	req := request{method: "GET"}
	if string(method) != "GET" {
		req.method = string(method)
	}
	buf = append(buf[:0], target...)
	req.target = buf
	h, err := readHeaders(r)
	if err != nil {
		return req, err
	}
	req.close = h.close || minor == 0 && !h.keep
	if h.expect && before != nil {
		if err := before(); err != nil {
			return req, err
		}
	}
	kept := buf[len(buf):cap(buf)]
	req.body, _, err = readBody(r, kept, h, false)
	return req, err
}
