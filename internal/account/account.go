// Package account holds users and groups: who may send (Authenticator) and what each of
// them may do (Credentials). It knows neither doors nor storage; package provision owns
// the values and publishes them, never changing one that it has published.
//
//	auth := account.NewAuthenticator(account.AuthConfig{}, directory)
//	user, err := auth.Check(ctx, "foo", "bar")
package account

import "jasmind/internal/sms"

// User is one account. A published User is never changed, only replaced.
type User struct {
	UID      sms.UserID
	GID      sms.GroupID
	Username string
	Password Password
	Enabled  bool
	Credentials
	// Version differs between any two Users that were ever published under one uid, so
	// that what was remembered of one is never taken for the other. Only a newer hash of
	// the same password (Upgrade) leaves it as it was.
	Version uint64
}

// Group is a set of users. A published Group is never changed, only replaced.
type Group struct {
	GID     sms.GroupID
	Enabled bool
}

// ValidUID tells whether s can identify a user: 1 to 16 characters of [A-Za-z0-9_-].
func ValidUID(s string) bool { return word(s, 16) }

// ValidGID tells whether s can identify a group: 1 to 16 characters of [A-Za-z0-9_-].
func ValidGID(s string) bool { return word(s, 16) }

// ValidUsername tells whether s can be a username: 1 to 15 characters of [A-Za-z0-9_-],
// which is what the system_id of a bind has room for (SMPP v3.4 §5.2.1).
func ValidUsername(s string) bool { return word(s, 15) }

func word(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}
