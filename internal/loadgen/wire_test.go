package loadgen

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadAnswer(t *testing.T) {
	tests := []struct {
		name, in string
		want     answer
		fault    string // "" for none
		rest     string // left for the next answer
	}{
		{"content-length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokNEXT", answer{status: 200, body: []byte("ok")}, "", "NEXT"},
		{"any case, bare LF", "HTTP/1.1 200\ncontent-LENGTH:2\n\nok", answer{status: 200, body: []byte("ok")}, "", ""},
		{"chunked with extension and trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\n\r\nNEXT", answer{status: 200, body: []byte("abcde")}, "", "NEXT"},
		{"interim answers are skipped", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", answer{status: 403}, "", ""},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\nNEXT", answer{status: 204}, "", "NEXT"},
		{"connection close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", answer{status: 200, body: []byte("x"), close: true}, "", ""},
		{"body to the end", "HTTP/1.1 200 OK\r\n\r\nall of it", answer{status: 200, body: []byte("all of it"), close: true}, "", ""},
		{"HTTP/1.0 closes", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", answer{status: 200, body: []byte("x"), close: true}, "", ""},
		{"HTTP/1.0 keeps alive when it says so", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", answer{status: 200, body: []byte("x")}, "", ""},
		{"a long body is cut and read to its end", "HTTP/1.1 500 No\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("y", 20000) + "NEXT", answer{status: 500, body: []byte(strings.Repeat("y", maxKept)), cut: true}, "", "NEXT"},

		{"nothing", "", answer{}, "EOF", ""},
		{"garbage", "SSH-2.0-OpenSSH\r\n", answer{}, `malformed HTTP: status line "SSH-2.0-OpenSSH"`, ""},
		{"ends in the headers", "HTTP/1.1 200 OK\r\nContent-Le", answer{}, "unexpected EOF", ""},
		{"ends in the body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", answer{}, "unexpected EOF", ""},
		{"ends in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", answer{}, "unexpected EOF", ""},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", answer{}, "malformed HTTP: two different Content-Length", ""},
		{"negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", answer{}, `malformed HTTP: Content-Length "-1"`, ""},
		{"enormous length", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", answer{}, "malformed HTTP: body too long", ""},
		{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", answer{}, `malformed HTTP: chunk size "zz"`, ""},
		{"chunk longer than it said", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n", answer{}, "malformed HTTP: chunk longer than its size", ""},
		{"endless line", "HTTP/1.1 200 " + strings.Repeat("x", maxLine), answer{}, "malformed HTTP: line too long", ""},
		{"endless headers", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", maxHeaders+1), answer{}, "malformed HTTP: too many header lines", ""},
		{"other transfer coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", answer{}, `malformed HTTP: Transfer-Encoding "gzip"`, ""},
		{"switching protocols", "HTTP/1.1 101 Up\r\n\r\n", answer{}, "malformed HTTP: switching protocols", ""},
		{"only interim answers", strings.Repeat("HTTP/1.1 102 Wait\r\n\r\n", maxInterim), answer{}, "malformed HTTP: too many interim answers", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := bufio.NewReaderSize(strings.NewReader(test.in), maxLine)
			got, err := readAnswer(r, make([]byte, 0, maxKept))
			if test.fault != "" {
				if err == nil || err.Error() != test.fault {
					t.Fatalf("got error %v, want %s", err, test.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.status != test.want.status || !bytes.Equal(got.body, test.want.body) || got.close != test.want.close || got.cut != test.want.cut {
				t.Errorf("got %d %.40q close=%v cut=%v\nwant %d %.40q close=%v cut=%v", got.status, got.body, got.close, got.cut,
					test.want.status, test.want.body, test.want.close, test.want.cut)
			}
			if rest, _ := io.ReadAll(r); string(rest) != test.rest {
				t.Errorf("left %q, want %q", rest, test.rest)
			}
		})
	}
}

func TestReadRequest(t *testing.T) {
	in := "GET /dlr/r?id=1 HTTP/1.1\r\nHost: x\r\n\r\n" +
		"POST /dlr/r HTTP/1.1\r\nContent-Length: 4\r\n\r\nid=2" +
		"POST /dlr/r HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\nid=3\r\n0\r\n\r\n"
	r := bufio.NewReaderSize(strings.NewReader(in), maxLine)
	buf := make([]byte, 0, requestRoom)
	continued := 0
	for _, want := range []request{
		{"GET", []byte("/dlr/r?id=1"), nil, false},
		{"POST", []byte("/dlr/r"), []byte("id=2"), false},
		{"POST", []byte("/dlr/r"), []byte("id=3"), true},
	} {
		got, err := readRequest(r, buf, func() error { continued++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		if got.method != want.method || !bytes.Equal(got.target, want.target) || !bytes.Equal(got.body, want.body) || got.close != want.close {
			t.Errorf("got %s %s %q %v, want %s %s %q %v", got.method, got.target, got.body, got.close, want.method, want.target, want.body, want.close)
		}
	}
	if continued != 1 {
		t.Errorf("continued %d times, want once", continued)
	}
	if _, err := readRequest(r, buf, nil); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	if _, err := readRequest(bufio.NewReader(strings.NewReader("hello\r\n\r\n")), buf, nil); err == nil {
		t.Error("garbage was taken for a request")
	}
}

// FuzzReadAnswer checks that the parser does not depend on how octets arrive, and that it agrees with
// net/http wherever both find an answer.
func FuzzReadAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n",
		"HTTP/1.0 503 No\r\n\r\nbusy", "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 204 N\r\n\r\n", "garbage\n\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		a, err := readAnswer(bufio.NewReaderSize(bytes.NewReader(in), maxLine), make([]byte, 0, maxKept))
		b, err2 := readAnswer(bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(in)), maxLine), make([]byte, 0, maxKept))
		if (err == nil) != (err2 == nil) || err == nil && (a.status != b.status || !bytes.Equal(a.body, b.body) || a.close != b.close) {
			t.Fatalf("%q: whole %+v %v, octet by octet %+v %v", in, a, err, b, err2)
		}
		if err != nil || a.cut || bytes.HasPrefix(in, []byte("HTTP/1.1 1")) || bytes.HasPrefix(in, []byte("HTTP/1.0 1")) {
			return
		}
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(in)), nil)
		if err != nil {
			return // it is stricter
		}
		body, err := io.ReadAll(resp.Body)
		if err == nil && (resp.StatusCode != a.status || !bytes.Equal(body, a.body)) {
			t.Fatalf("%q: got %d %q, net/http %d %q", in, a.status, a.body, resp.StatusCode, body)
		}
	})
}
