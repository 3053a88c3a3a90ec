package provision

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"jasmind/internal/routing"
)

// scriptTimeout bounds the reading of a script, from wherever it is.
const scriptTimeout = 15 * time.Second

// ReadScript copies a script from an absolute path or from a file, http, https or ftp URL.
func ReadScript(ctx context.Context, path string) (routing.Script, error) {
	ctx, cancel := context.WithTimeout(ctx, scriptTimeout)
	defer cancel()
	code, err := readScript(ctx, path)
	if err != nil {
		return routing.Script{}, err
	}
	s := routing.Script{Path: path, Code: string(code)}
	if err := s.Validate(); err != nil {
		return routing.Script{}, err
	}
	return s, nil
}

func readScript(ctx context.Context, path string) ([]byte, error) {
	u, err := url.Parse(path)
	if err != nil || u.Scheme == "" {
		return readScriptFile(path)
	}
	switch strings.ToLower(u.Scheme) {
	case "file":
		return readScriptFile(u.Path)
	case "http", "https":
		return httpScript(ctx, u)
	case "ftp":
		return ftpScript(ctx, u)
	}
	return nil, fmt.Errorf("invalid value %q, must be an absolute path or a URL of file, http, https or ftp", path)
}

func readScriptFile(path string) ([]byte, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("invalid value %q, the path must be absolute", path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // a pipe would never end
		return nil, &os.PathError{Op: "read", Path: path, Err: errors.New("is not a file")}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f, path)
}

func readBounded(r io.Reader, path string) ([]byte, error) {
	code, err := io.ReadAll(io.LimitReader(r, routing.MaxScript+1))
	if err == nil && len(code) > routing.MaxScript {
		err = fmt.Errorf("script %s is longer than %d octets", path, routing.MaxScript)
	}
	return code, err
}

func httpScript(ctx context.Context, u *url.URL) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers HTTP %d", u.Redacted(), resp.StatusCode)
	}
	return readBounded(resp.Body, u.Redacted())
}

// ftpScript retrieves a file in passive mode (RFC 959, RFC 2428).
func ftpScript(ctx context.Context, u *url.URL) ([]byte, error) {
	port := u.Port()
	if port == "" {
		port = "21"
	}
	if strings.ContainsAny(u.Path, "\r\n") || u.Path == "" {
		return nil, fmt.Errorf("invalid path %q", u.Path)
	}
	conn, err := dialUntil(ctx, net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	c := textproto.NewConn(conn)
	if _, _, err := c.ReadResponse(220); err != nil {
		return nil, fmt.Errorf("ftp %s: %w", u.Host, err)
	}
	command := func(expect int, format string, args ...any) (string, error) {
		if err := c.PrintfLine(format, args...); err != nil {
			return "", err
		}
		_, text, err := c.ReadResponse(expect)
		return text, err
	}
	user, password := "anonymous", "anonymous@"
	if u.User != nil {
		user = u.User.Username()
		password, _ = u.User.Password()
	}
	if strings.ContainsAny(user+password, "\r\n") {
		return nil, errors.New("invalid username or password in the URL")
	}
	if _, err := command(2, "USER %s", user); err != nil {
		var reply *textproto.Error
		if !errors.As(err, &reply) || reply.Code != 331 {
			return nil, fmt.Errorf("ftp %s: %w", u.Host, err)
		}
		if _, err := command(2, "PASS %s", password); err != nil {
			return nil, fmt.Errorf("ftp %s: %w", u.Host, err)
		}
	}
	if _, err := command(2, "TYPE I"); err != nil {
		return nil, fmt.Errorf("ftp %s: %w", u.Host, err)
	}
	text, err := command(229, "EPSV")
	if err != nil {
		return nil, fmt.Errorf("ftp %s: %w", u.Host, err)
	}
	parts := strings.Split(text, "|") // Entering Extended Passive Mode (|||port|)
	if len(parts) != 5 {
		return nil, fmt.Errorf("ftp %s: answer %q to EPSV", u.Host, text)
	}
	if n, err := strconv.ParseUint(parts[3], 10, 16); err != nil || n == 0 {
		return nil, fmt.Errorf("ftp %s: answer %q to EPSV", u.Host, text)
	}
	data, err := dialUntil(ctx, net.JoinHostPort(u.Hostname(), parts[3]))
	if err != nil {
		return nil, err
	}
	defer data.Close()
	if _, err := command(1, "RETR %s", strings.TrimPrefix(u.Path, "/")); err != nil {
		return nil, fmt.Errorf("ftp %s: %w", u.Host, err)
	}
	code, err := readBounded(data, u.Redacted())
	if err != nil {
		return nil, err
	}
	// The data connection says nothing of a transfer that was cut off; the answer does.
	if _, _, err := c.ReadResponse(2); err != nil {
		return nil, fmt.Errorf("ftp %s: %w", u.Host, err)
	}
	return code, nil
}

func dialUntil(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}
