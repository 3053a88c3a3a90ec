package account

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // Jasmin: digests of the original are accepted, then upgraded
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Password is what is kept of a password. The zero Password matches nothing.
type Password struct {
	scheme scheme
	salt   string
	digest string
	cost   argonCost
}

type scheme uint8

const (
	schemeNone scheme = iota
	// schemeArgon2id is the only one that new hashes are made in.
	schemeArgon2id
	// schemeMD5 is the digest of the original; the next login upgrades it.
	schemeMD5
	// schemeDeclared is a password that stands in the clear in a file of the operator's:
	// hashing thousands of them slowly at every start would buy nothing. It is kept as a
	// digest under a key of this process.
	schemeDeclared
)

// argonCost are the parameters of argon2id (RFC 9106): memory in KiB, passes, lanes.
type argonCost struct {
	memory, time uint32
	threads      uint8
}

// cost of new hashes: one lane, since logins run in parallel, and little memory with many
// passes, since the gateway's footprint counts; of the same strength as more of the one
// and less of the other.
var defaultCost = argonCost{memory: 7 * 1024, time: 5, threads: 1}

const (
	argonSalt   = 16
	argonDigest = 32
	// MaxPassword is the longest password in octets that is looked at.
	MaxPassword = 1024
)

// declaredKey is the key of schemeDeclared.
var declaredKey = func() []byte {
	k := make([]byte, 32)
	rand.Read(k) // never fails (crypto/rand)
	return k
}()

// HashPassword makes an argon2id hash, which takes tens of milliseconds.
func HashPassword(password string) (Password, error) {
	if err := checkPassword(password); err != nil {
		return Password{}, err
	}
	salt := make([]byte, argonSalt)
	rand.Read(salt) // never fails (crypto/rand)
	p := Password{scheme: schemeArgon2id, salt: string(salt), cost: defaultCost}
	p.digest = string(p.argon(password))
	return p, nil
}

// DeclaredPassword keeps a password that the operator's file has in the clear, at no
// cost. It has no Hash: what declares it stays its home.
func DeclaredPassword(password string) (Password, error) {
	if err := checkPassword(password); err != nil {
		return Password{}, err
	}
	return Password{scheme: schemeDeclared, digest: string(declaredDigest(password))}, nil
}

func checkPassword(password string) error {
	if password == "" {
		return errors.New("password is empty")
	}
	if len(password) > MaxPassword {
		return fmt.Errorf("password of %d octets is longer than %d", len(password), MaxPassword)
	}
	return nil
}

func declaredDigest(password string) []byte {
	h := hmac.New(sha256.New, declaredKey)
	h.Write([]byte(password))
	return h.Sum(nil)
}

// ParseHash reads a kept password: $argon2id$v=19$m=..,t=..,p=..$salt$digest, with or
// without its leading $, or the 32 hexadecimal digits of an MD5 digest.
func ParseHash(s string) (Password, error) {
	if !LooksHashed(s) {
		return Password{}, errors.New("password hash is neither argon2id nor an MD5 digest in hexadecimal")
	}
	if len(s) == 2*md5.Size {
		digest, err := hex.DecodeString(s)
		return Password{scheme: schemeMD5, digest: string(digest)}, err
	}
	return parseArgon2id(strings.TrimPrefix(s, "$"))
}

// LooksHashed tells whether s has the form of a kept password rather than of a password:
// it starts with argon2id$ or $argon2id$, or is 32 hexadecimal digits.
func LooksHashed(s string) bool {
	if strings.HasPrefix(strings.TrimPrefix(s, "$"), "argon2id$") {
		return true
	}
	if len(s) != 2*md5.Size {
		return false
	}
	_, err := hex.DecodeString(s)
	return err == nil
}

func parseArgon2id(s string) (Password, error) {
	bad := func(what string) (Password, error) {
		return Password{}, fmt.Errorf("password hash: argon2id with %s", what)
	}
	f := strings.Split(s, "$")
	if len(f) != 5 {
		return bad("other than 5 fields")
	}
	if f[1] != "v="+strconv.Itoa(argon2.Version) {
		return bad("a version other than 19")
	}
	p := Password{scheme: schemeArgon2id}
	memory, okM := parameter(f[2], 0, "m=", 8, 1<<20) // up to 1 GiB
	time, okT := parameter(f[2], 1, "t=", 1, 64)
	threads, okP := parameter(f[2], 2, "p=", 1, 16)
	if !okM || !okT || !okP || strings.Count(f[2], ",") != 2 || memory < 8*threads {
		return bad("parameters other than m=8 to 1048576, t=1 to 64, p=1 to 16")
	}
	if uint64(memory)*uint64(time) > 4<<20 {
		return bad("parameters that would take seconds (m times t over 4194304)")
	}
	p.cost = argonCost{memory: memory, time: time, threads: uint8(threads)}
	salt, err := base64.RawStdEncoding.Strict().DecodeString(f[3])
	if err != nil || len(salt) < 8 || len(salt) > 64 {
		return bad("a salt that is not 8 to 64 octets in base64")
	}
	digest, err := base64.RawStdEncoding.Strict().DecodeString(f[4])
	if err != nil || len(digest) < 16 || len(digest) > 64 {
		return bad("a digest that is not 16 to 64 octets in base64")
	}
	p.salt, p.digest = string(salt), string(digest)
	return p, nil
}

func parameter(list string, index int, name string, low, high uint32) (uint32, bool) {
	parts := strings.Split(list, ",")
	if index >= len(parts) || !strings.HasPrefix(parts[index], name) {
		return 0, false
	}
	digits := parts[index][len(name):]
	v, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || v > math.MaxUint32 || strconv.FormatUint(v, 10) != digits {
		return 0, false
	}
	return uint32(v), uint32(v) >= low && uint32(v) <= high
}

// Hash is the text to store, as ParseHash reads it. ok is false for a declared password,
// of which there is no slow hash, and for the zero Password.
func (p Password) Hash() (text string, ok bool) {
	switch p.scheme {
	case schemeArgon2id:
		enc := base64.RawStdEncoding
		return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.cost.memory, p.cost.time, p.cost.threads,
			enc.EncodeToString([]byte(p.salt)), enc.EncodeToString([]byte(p.digest))), true
	case schemeMD5:
		return hex.EncodeToString([]byte(p.digest)), true
	}
	return "", false
}

// String tells the scheme only, so that no hash comes into a log.
func (p Password) String() string {
	return [...]string{"none", "argon2id", "md5", "declared"}[p.scheme]
}

func (p *Password) argon(password string) []byte {
	n := len(p.digest)
	if n == 0 {
		n = argonDigest
	}
	return argon2.IDKey([]byte(password), []byte(p.salt), p.cost.time, p.cost.memory, p.cost.threads, uint32(n)) //nolint:gosec // 16 to 64
}

// decoy is what the password of an unknown user is compared with: it costs as much as a
// real one and matches nothing.
var decoy = Password{scheme: schemeArgon2id, salt: "0123456789abcdef", digest: strings.Repeat("\x00", argonDigest), cost: defaultCost}

// verify compares a password. It always takes an argon2id's time, whatever the scheme and
// the outcome. upgraded is set when the password is right and a newer hash should
// replace the old.
func (p *Password) verify(password string) (ok bool, upgraded *Password) {
	if password == "" || len(password) > MaxPassword {
		decoy.argon("")
		return false, nil
	}
	var got []byte
	switch p.scheme {
	case schemeArgon2id:
		return subtle.ConstantTimeCompare(p.argon(password), []byte(p.digest)) == 1, nil
	case schemeMD5:
		sum := md5.Sum([]byte(password)) //nolint:gosec // see schemeMD5
		got = sum[:]
	case schemeDeclared:
		got = declaredDigest(password)
	case schemeNone:
		decoy.argon(password)
		return false, nil
	}
	ok = subtle.ConstantTimeCompare(got, []byte(p.digest)) == 1
	fresh, err := HashPassword(password) // also when it is wrong: the time tells nothing
	if !ok || err != nil || p.scheme != schemeMD5 {
		return ok, nil
	}
	return true, &fresh
}

// Matches compares a password, always at the cost of an argon2id hash, for those who keep
// one Password of their own rather than accounts.
func (p *Password) Matches(password string) bool {
	ok, _ := p.verify(password)
	return ok
}
