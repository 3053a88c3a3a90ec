package config

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestEveryKeyIsDocumentedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range table(new(Config)) {
		name := k.Section + "/" + k.Name
		if seen[name] || k.Doc == "" {
			t.Errorf("%s: twice, or without documentation", name)
		}
		seen[name] = true
	}
}

func TestTheDocumentedFileIsThePrintedOne(t *testing.T) {
	want, err := os.ReadFile("../../docs/jasmin.cfg")
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := Print(&got, Services); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("docs/jasmin.cfg is not what config print writes: make gen")
	}
}

// fields are the places of all variables in a struct.
func fields(v reflect.Value, into map[any]bool) {
	for i := range v.NumField() {
		f := v.Field(i)
		into[f.Addr().Pointer()] = true
		if f.Kind() == reflect.Struct {
			fields(f, into)
		}
	}
}

func TestNoTwoKeysFillOneField(t *testing.T) {
	var c Config
	known := map[any]bool{}
	fields(reflect.ValueOf(&c).Elem(), known)
	taken := map[any]string{}
	for _, k := range table(&c) {
		name := "[" + k.Section + "] " + k.Name
		if k.without != "" {
			for _, p := range k.to {
				if known[reflect.ValueOf(p).Pointer()] {
					t.Errorf("%s fills a field, though it is to have no effect", name)
				}
			}
			continue
		}
		if len(k.to) == 0 {
			t.Errorf("%s fills nothing", name)
		}
		for _, p := range k.to {
			if !known[reflect.ValueOf(p).Pointer()] {
				t.Errorf("%s fills something outside of Config", name)
			}
			if other := taken[p]; other != "" {
				t.Errorf("%s fills the field of %s", name, other)
			}
			taken[p] = name
		}
	}
}

// samples are values of all kinds of keys.
var samples = []string{"False", "True", "1", "2", "7", "128", "5000", "2000000", "other", "/other", "sar", "reject", "16", "last", "data_sm", "quorum", "embedded", "services", "require",
	"DEBUG", "H", "%(message)s", "%Y", "10.0.0.0/8", "[::1]:1", "{'ESME_RSYSERR': {'count': 1, 'delay': 1}}", "0123456789abcdef0123456789abcdef"}

// set loads a configuration in which one key has a value that makes it differ.
func set(t *testing.T, i int, base *Config) (*Config, string) {
	t.Helper()
	k := table(new(Config))[i]
	folder := base.Paths.Config
	for _, v := range samples {
		c, err := Load(Options{Environment: env("CONFIG_PATH", folder, k.Variable(), v)})
		if err != nil {
			continue
		}
		if k.without != "" {
			if v != k.Default {
				return c, v
			}
			continue
		}
		a, b := table(base)[i].to, table(c)[i].to
		if !reflect.DeepEqual(reflect.ValueOf(a[0]).Elem().Interface(), reflect.ValueOf(b[0]).Elem().Interface()) {
			return c, v
		}
	}
	t.Fatalf("[%s] %s: none of the samples sets it", k.Section, k.Name)
	return nil, ""
}

// Each key, given a value that is not its default, changes the fields that it claims to fill, and nothing else.
func TestEveryKeyFillsItsFields(t *testing.T) {
	base := load(t, Options{Environment: env("CONFIG_PATH", t.TempDir())})
	for i, k := range table(base) {
		name := "[" + k.Section + "] " + k.Name
		c, v := set(t, i, base)
		if told := slices.ContainsFunc(c.Unserved, func(s string) bool { return strings.HasPrefix(s, name+" (") }); told != (k.without != "") {
			t.Errorf("%s = %s: told to be without effect: %v", name, v, told)
		}
		for n, p := range table(c)[i].to {
			if k.without != "" {
				continue
			}
			was, is := reflect.ValueOf(k.to[n]).Elem(), reflect.ValueOf(p).Elem()
			if reflect.DeepEqual(was.Interface(), is.Interface()) {
				t.Errorf("%s = %s: field %d of it keeps %v", name, v, n+1, is)
			}
			is.Set(was)
		}
		c.ModeWhy, c.Unserved = base.ModeWhy, base.Unserved
		switch name {
		case "[client-management] store_path":
			c.Paths.Store = base.Paths.Store // follows it
		case "[amqp-broker] host", "[redis-client] host":
			c.Mode = base.Mode // who names a broker wants it
		}
		if !reflect.DeepEqual(c, base) {
			t.Errorf("%s = %s changes something else:\ngot  %+v\nwant %+v", name, v, c, base)
		}
	}
}

// A fault names section, key and value; of a secret, not the value.
func TestEveryFaultNamesKeyAndValue(t *testing.T) {
	folder := t.TempDir()
	const wrong = "=?wrong"
	refused := 0
	for _, k := range table(new(Config)) {
		_, err := Load(Options{Environment: env("CONFIG_PATH", folder, k.Variable(), wrong)})
		if err == nil {
			continue // any text is right
		}
		refused++
		want := fmt.Sprintf("environment variable %s: [%s] %s: ", k.Variable(), k.Section, k.Name)
		if !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), wrong) == (k.Name == "admin_password") {
			t.Errorf("got %v", err)
		}
	}
	if refused < 100 {
		t.Errorf("%d keys were refused, want those of most types", refused)
	}
}
