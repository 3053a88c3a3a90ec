package config

import (
	"slices"

	"jasmind/internal/certs"
	"jasmind/internal/jcli"
	"jasmind/internal/logging"
	"jasmind/internal/queue/rabbit"
	"jasmind/internal/smstext"
)

// Why keys of the original have no effect.
const (
	onePiece   = "jasmind is one process, which has no internal ports"
	onOurs     = "interceptor scripts run in processes of the gateway's own"
	alwaysBack = "the connection always comes back by itself"
)

// linkLocal are link-local addresses and others at which clouds tell their machines secrets.
const linkLocal = "169.254.0.0/16,fe80::/10,fd00:ec2::254,fd20:ce::254,100.100.100.200"

// table declares every key, in the order in which they are printed, for the fields of a Config whose Paths
// are known.
func table(c *Config) []Key {
	return slices.Concat(
		section("gateway", []Key{
			key("mode", "services", "What holds queues and records: embedded (a database of the gateway's own, nothing to install) or services (RabbitMQ and Redis).",
				into(oneOf(Embedded, Services), &c.Mode)),
			key("data_dir", "", "Folder of the embedded database; empty: $ROOT_PATH/var/lib/jasmin, or ./jasmin-data without root rights or configuration.",
				into(or(c.Paths.Data), &c.Paths.Data)),
			key("low_space_mib", "0", "Free MiB on the embedded database's disk below which no message is accepted; 0: the smaller of 256 MiB and 5 %.",
				into(mebibytes[uint64](0, 1<<20), &c.Database.LowSpace)),
			key("shutdown_timeout", "15", "Seconds that a stop takes at most. Most of them are for messages and call-backs under way; what does not end in time comes again after the next start.", into(seconds(0, 3600), &c.ShutdownTimeout)),
		}),
		// Files of the original have no such section.
		section("admission", []Key{
			key("login_failures_per_name", "5", "Wrong passwords for one username from one address (of IPv6: one /64) that are looked at at once, and in each minute after that, at all doors together.",
				into(number(1, 1000000), &c.Logins.PerName)),
			key("login_failures_per_address", "30", "The same for all usernames from one address, but for those that logged in from it in the last day.", into(number(1, 1000000), &c.Logins.PerAddress)),
			key("login_failures_everywhere", "60", "The same for one username from all addresses; then addresses from which it has not logged in have one attempt a minute each.",
				into(number(1, 1000000), &c.Logins.Everywhere)),
			key("unauthenticated_octets", "67108864", "Octets in hand of clients that have not authenticated, at all doors together; a connection and a request count 8192 beside what was received.",
				into(number(1<<20, 1<<40), &c.Budget.Octets)),
			key("unauthenticated_octets_per_address", "8388608", "Of them, from one address (of IPv6: one /64); at least twice max_body of http-api for its largest requests.",
				into(number(64<<10, 1<<40), &c.Budget.PerAddress)),
			key("open_files", "0", "Files and connections that the process may have open at a time, which bounds the connections of doors; 0: what the system allows (RLIMIT_NOFILE).",
				into(number(0, 1<<30), &c.OpenFiles)),
		}),
		section("logs", []Key{
			key("max_size", "1024", "MiB of a log file, of any section; then a new one begins, as it does by log_rotate.", into(number(1, 1<<20), &c.LogLimits.MiB)),
			key("max_files", "0", "Older files that are kept of each log; 0: all.", into(number(0, 1000000), &c.LogLimits.Files)),
			key("max_days", "0", "Days for which older files are kept; 0: for ever.", into(number(0, 36500), &c.LogLimits.Days)),
		}),
		// The lower half of these is not in files of the original.
		section("smpp-server", []Key{
			key("id", "smpps_01", "Names the server in its log.", into(unquoted, &c.SMPPServer.ID)),
			key("bind", "0.0.0.0", "Address to listen on.", into(text, &c.SMPPServer.Bind)),
			key("port", "2775", "Port to listen on; 0: any free one.", into(port, &c.SMPPServer.Port)),
			key("billing_feature", "True", "Whether messages of ESMEs are charged.", into(negated, &c.MT.FreeSMPP)),
			key("sessionInitTimerSecs", "30", "Seconds from the connection to the end of the bind.", into(seconds(0.1, day), &c.SMPPServer.SessionInit)),
			key("enquireLinkTimerSecs", "30", "Seconds without a word from an ESME after which it is sent enquire_link; 0: never.",
				into(zeroIs(-1, seconds(0, day)), &c.SMPPServer.EnquireLink)),
			key("inactivityTimerSecs", "300", "Seconds without a word from an ESME after which its session ends; 0: never.",
				into(zeroIs(-1, seconds(0, day)), &c.SMPPServer.Inactivity)),
			key("responseTimerSecs", "60", "Seconds that an ESME may take to answer.", into(seconds(0.1, day), &c.SMPPServer.Response)),
			key("pduReadTimerSecs", "30", "Seconds from the first octet of a PDU to its last.", into(seconds(0.1, day), &c.SMPPServer.PDURead)),
		}, void("the connector's dlr_expiry says how long its receipts are waited for", key("dlr_expiry", "86400", "", into(number(0, maxWhole)))), []Key{
			key("log_privacy", "False", "Log no message text.", into(boolean, &c.SMPPServer.LogPrivacy)),

			key("ssl", "False", "Whether bind and port speak TLS.", into(boolean, &c.SMPPServer.SSL)),
			key("listeners", "", "Further places to listen on, separated by commas: host:port, or tls://host:port with TLS.", into(parseListeners, &c.SMPPServer.Listeners)),
			key("ssl_certificate", "", "PEM file with the certificate of TLS listeners and those that vouch for it; read again on HUP and when it changes.", into(text, &c.SMPPServer.TLS.Certificate)),
			key("ssl_key", "", "PEM file with the key of the certificate; read again likewise.", into(text, &c.SMPPServer.TLS.Key)),
			key("ssl_client_cert", "none", "Whether ESMEs show a certificate: none (it is not asked for), optional (it is verified if there is one) or require.",
				into(oneOf(certs.ClientCertNone, certs.ClientCertOptional, certs.ClientCertRequire), &c.SMPPServer.TLS.ClientCert)),
			key("ssl_client_ca", "", "PEM file with the certificates that vouch for those of ESMEs; read again likewise.", into(text, &c.SMPPServer.TLS.ClientCA)),
			key("max_connections", "10000", "Connections open at a time; more are closed at once.", into(number(1, 1000000), &c.SMPPServer.MaxConnections)),
			key("max_connections_per_address", "1000", "Of them, from one address (of IPv6: one /64).", into(number(1, 1000000), &c.SMPPServer.MaxPerAddress)),
			key("allow", "", "IPv4 and IPv6 addresses and networks that may connect, separated by commas; empty: everybody. Connections of others are closed at once.",
				into(parseNetworks, &c.SMPPServer.Allow)),
			key("max_window", "1000", "Requests of one session that are in work at a time; more are answered ESME_RTHROTTLED.", into(number(1, 100000), &c.SMPPServer.MaxWindow)),
			key("max_pending", "20000", "Requests of all sessions that are in work at a time; more are answered ESME_RTHROTTLED.", into(number(1, 10000000), &c.SMPPServer.MaxPending)),
			key("max_write_buffer", "4194304", "Octets that may wait for an ESME that does not read; then its session ends.", into(number(4096, 1<<30), &c.SMPPServer.MaxWriteBuffer)),
			key("deliver_window", "50", "deliver_sm and data_sm that may await their answer on one session.", into(number(1, 10000), &c.SMPPServer.Window)),
			key("message_state_expiry", "172800", "Seconds after its acceptance, or after the end of its validity, that the state of an ESME's message is kept for query_sm, cancel_sm and replace_sm; 0: none is kept, and they are answered ESME_RINVMSGID.",
				into(seconds(0, 90*day), &c.MT.StateExpiry)),
			key("submit_timeout", "15", "Seconds that a request waits for its message to become durable; then it is answered ESME_RSYSERR.",
				into(seconds(0.1, 600), &c.SMPPServer.SubmitWait)),
		}, logKeys("default-smpps_01.log", "midnight", &c.SMPPServerLog)),
		section("smpp-server-pb", internalPort("14000", "smppsadmin", "e97ab122faa16beea8682d84f3d2eea4", onePiece),
			void(onePiece, logKeys("smpp-server-pb.log", "W6", new(logging.Config))...)),
		section("smpp-server-pb-client", internalClient("14000", "smppsadmin", onePiece)),
		section("client-management", []Key{
			key("store_path", "", "Folder of the console's profiles, unless [router] store_path is set; the original keeps those of the connectors apart.",
				into(text, &c.managementStore)),
		}, void(onePiece, key("pickle_protocol", "2", "", into(number(0, maxWhole)))), internalPort("8989", "cmadmin", "e1c5136acafb7016bc965597c992eb82", onePiece),
			logKeys("smppclient-manager.log", "W6", &c.ManagerLog)),
		section("service-smppclient", logKeys("service-smppclient.log", "W6", &c.ServiceLog)),
		section("sm-listener", []Key{
			key("publish_submit_sm_resp", "False", "Publish a copy of each submit_sm_resp on submit.sm.resp.CID for observers (services mode).",
				into(boolean, &c.Connector.PublishSubmitSMResp)),
			key("submit_error_retrial", defaultRetrial, "Which refusals are retried, how often and after how many seconds.", into(parseRetrials, &c.Connector.Retrials)),
			key("submit_max_age_smppc_not_ready", "1200", "Seconds that a message taken from the queue may be old when its connector turns out not to be ready.",
				into(zeroIs(shortest, seconds(0, 365*day)), &c.Connector.NotReadyMaxAge)),
			key("submit_retrial_delay_smppc_not_ready", "30", "Seconds until such a message is tried again.",
				into(zeroIs(shortest, seconds(0, day)), &c.Connector.NotReadyDelay)),
			key("submit_max_losses", "10", "Tries to submit a message that may end without an answer, since the session was lost or the response timer ran out; then it is a dead letter, and whoever asked is told UNDELIV.",
				into(number(1, 1000000), &c.Connector.MaxLosses)),
			key("long_mo_timeout", "300", "Seconds that the next part of a long MO is waited for; then it is delivered without the missing parts.",
				into(seconds(0.001, 30*day), &c.MO.LongTimeout)),
			key("log_privacy", "False", "Log no message text.", into(boolean, &c.Connector.LogPrivacy, &c.MO.LogPrivacy)),
		}, logKeys("messages.log", "midnight", &c.ListenerLog)),
		section("dlr", void("every process of this gateway looks receipts up", key("pid", "main", "", into(text))), []Key{
			key("dlr_lookup_retry_delay", "10", "Seconds between two lookups of a receipt whose message is not known (yet), after the first six seconds, in which it is looked up as soon as the message is known.",
				into(seconds(0.001, day), &c.DLR.RetryDelay)),
			key("dlr_lookup_max_retries", "2", "How often after these six seconds.", into(number(0, 1000), &c.DLR.MaxRetries)),
			key("dlr_parts", "all", "Which receipts make the DLR of a long message: all (the worst state, once all parts are final) or last (that of the last part).",
				into(choice(option[bool]{"all", false}, option[bool]{"last", true}), &c.DLR.LastPartOnly, &c.MT.LastReport)),
			key("smpp_receipt_on_success_submit_sm_resp", "False", "Whether an ESME that asks for a receipt also gets one, ACCEPTD, when the SMSC has taken its message.",
				into(boolean, &c.DLR.Accepted, &c.SMPPServer.Accepted)),
			key("log_privacy", "False", "Log no message text.", into(boolean, &c.DLR.LogPrivacy)),
		}, logKeys("messages.log", "midnight", &c.DLRLog)),
		section("amqp-broker", []Key{
			key("host", "127.0.0.1", "RabbitMQ's address.", into(text, &c.Broker.Host)),
			key("vhost", "/", "Virtual host.", into(text, &c.Broker.VHost)),
		}, void("the protocol is built in", key("spec", "/etc/jasmin/resource/amqp0-9-1.xml", "", into(text))), []Key{
			key("port", "5672", "RabbitMQ's port.", into(number(1, 65535), &c.Broker.Port)),
			key("username", "guest", "User name.", into(text, &c.Broker.User)),
			key("password", "guest", "Password.", into(text, &c.Broker.Password)),
			key("heartbeat", "0", "Seconds between heartbeats; 0: 10 seconds.", into(wholeSeconds(0, 3600), &c.Broker.Heartbeat)),
			key("timeout", "10", "Seconds that connecting, or the confirm of a message, may take; then RabbitMQ counts as away.",
				into(seconds(0.1, 3600), &c.Broker.DialTimeout, &c.Broker.ConfirmTimeout)),
			key("queue_type", "classic", "Type of the work queues: classic or quorum.", into(oneOf(rabbit.Classic, rabbit.Quorum), &c.Broker.QueueType)),
		}, clientTLS("RabbitMQ", "Its TLS listener is often on port 5671.", &c.BrokerTLS), void(alwaysBack,
			key("connection_loss_retry", "True", "", into(boolean)),
			key("connection_failure_retry", "True", "", into(boolean)),
			key("connection_loss_retry_delay", "10", "", into(number(0, maxWhole))),
			key("connection_loss_failure_delay", "10", "", into(number(0, maxWhole)))),
			logKeys("amqp-client.log", "W6", &c.BrokerLog)),
		section("http-api", []Key{
			key("bind", "0.0.0.0", "Address to listen on.", into(text, &c.HTTP.Bind)),
			key("port", "1401", "Port to listen on; 0: any free one.", into(port, &c.HTTP.Port)),
			key("billing_feature", "True", "Whether messages that come over HTTP are charged.", into(negated, &c.MT.FreeHTTP)),
			key("long_content_max_parts", "5", "How many parts a long message may have, 1 to 255.", into(number(1, 255), &c.MT.MaxParts)),
			key("long_content_split", "udh", "How parts are marked: udh (a user data header) or sar (optional parameters).",
				into(choice(option[smstext.Method]{"udh", smstext.UDH}, option[smstext.Method]{"sar", smstext.SAR}), &c.MT.Split)),
			key("long_content_overflow", "truncate", "What becomes of content with more parts: truncate (cut it off, with a warning in the log) or reject.",
				into(choice(option[smstext.Overflow]{"truncate", smstext.Truncate}, option[smstext.Overflow]{"reject", smstext.Reject}), &c.MT.Overflow)),
			key("long_content_ref_bits", "8", "Size of the reference number in a user data header: 8 or 16 bits.",
				into(choice(option[bool]{"8", false}, option[bool]{"16", true}), &c.MT.WideRef)),
			key("auto_codings", "0,8", "What coding=auto chooses from: the coding that carries a text in the fewest parts, of equal ones the first.", into(parseCodings, &c.MT.Codings)),
			key("ssl", "False", "Whether bind and port speak TLS, 1.2 and later.", into(boolean, &c.HTTP.SSL)),
			key("ssl_certificate", "", "PEM file with the certificate and those that vouch for it; read again on HUP and when it changes.", into(text, &c.HTTP.TLS.Certificate)),
			key("ssl_key", "", "PEM file with the key of the certificate; read again likewise.", into(text, &c.HTTP.TLS.Key)),
			key("ssl_client_cert", "none", "Whether clients show a certificate: none (it is not asked for), optional (it is verified if there is one) or require.",
				into(oneOf(certs.ClientCertNone, certs.ClientCertOptional, certs.ClientCertRequire), &c.HTTP.TLS.ClientCert)),
			key("ssl_client_ca", "", "PEM file with the certificates that vouch for those of clients; read again likewise.", into(text, &c.HTTP.TLS.ClientCA)),
			key("h2c", "False", "Whether HTTP/2 is spoken without TLS too.", into(boolean, &c.HTTP.H2C)),
			key("allow", "", "IPv4 and IPv6 addresses and networks that may connect, separated by commas; empty: everybody. Connections of others are closed at once.",
				into(parseNetworks, &c.HTTP.Allow)),
			key("max_body", "1048576", "Octets that the body of a request may have.", into(number(1024, 64<<20), &c.HTTP.MaxBody)),
			key("max_header", "65536", "Octets that request line and header may have, about.", into(number(4096, 1<<20), &c.HTTP.MaxHeader)),
			key("header_timeout", "10", "Seconds that a client may take for request line and header.", into(seconds(0.1, 3600), &c.HTTP.HeaderTimeout)),
			key("read_timeout", "30", "Seconds that it may take for a whole request.", into(seconds(0.1, 3600), &c.HTTP.ReadTimeout)),
			key("idle_timeout", "120", "Seconds that a connection stays open between two requests.", into(seconds(0.1, day), &c.HTTP.IdleTimeout)),
			key("max_connections_per_address", "1000", "Connections open at a time from one address (of IPv6: one /64); more are closed at once.", into(number(1, 1000000), &c.HTTP.MaxPerAddress)),
			key("max_connections", "10000", "Connections open at a time; more are closed at once.", into(number(1, 1000000), &c.HTTP.MaxConns)),
			key("submit_timeout", "15", "Seconds that a request waits for its message to become durable; then it is answered 503.", into(seconds(0.1, 600), &c.HTTP.SubmitWait)),
			key("access_log", logFolder+"http-access.log", "Where to log requests; stdout: standard output; none: nowhere.", into(unless("none"), &c.Access.File)),
			key("log_privacy", "False", "Log no message text.", into(boolean, &c.HTTP.LogPrivacy)),
		}, logKeys("http-api.log", "W6", &c.HTTPLog)),
		// Nor this one.
		section("billing", []Key{
			key("refund_on_error", "False", "Give back what was charged at acceptance for parts that ended without being accepted by the SMSC: refused for good, or expired. sms_count is not given back.",
				into(boolean, &c.Connector.RefundOnError)),
		}),
		section("router", []Key{
			key("store_path", storeFolder, "Folder of the console's profiles.", into(text, &c.Paths.Store)),
			key("persistence_timer_secs", "60", "Seconds between two looks whether the configuration changed and is to be saved in its profile; it is saved at the stop, too. 0: never by itself.",
				into(seconds(0, day), &c.PersistEvery)),
		}, logKeys("router.log", "W6", &c.RouterLog), internalPort("8988", "radmin", "82a606ca5a0deea2b5777756788af5c8", onePiece),
			void(onePiece, key("pickle_protocol", "2", "", into(number(0, maxWhole))))),
		section("deliversm-thrower", []Key{
			key("http_timeout", "30", "Seconds that a call of an HTTP connector's URL with an MO may take.", into(seconds(0.01, 3600), &c.MOThrower.Timeout)),
			key("retry_delay", "30", "Seconds until an MO that was not acknowledged is tried again.", into(seconds(0.01, day), &c.MOThrower.RetryDelay)),
			key("max_retries", "3", "How often; behind a failover route how often all of its connectors are.", into(number(0, 100000), &c.MOThrower.MaxRetries)),
			key("max_per_host", "16", "Calls under way to one host at a time.", into(number(1, 1000), &c.MOThrower.PerHost)),
			key("allow", "", "Addresses and networks that URLs may lead to, separated by commas; empty: all but those in deny. A name counts by what it resolves to when it is called.",
				into(parseNetworks, &c.MOThrower.Reach.Allow)),
			key("deny", "", "Addresses and networks that URLs may not lead to, whatever is in allow.", into(parseNetworks, &c.MOThrower.Reach.Deny)),
			key("https_only", "False", "Whether only https URLs are called.", into(boolean, &c.MOThrower.Reach.HTTPSOnly)),
		}, logKeys("deliversm-thrower.log", "W6", &c.MOThrowerLog)),
		section("dlr-thrower", []Key{
			key("http_timeout", "30", "Seconds that a call of a dlr-url may take.", into(seconds(0.01, 3600), &c.DLRThrower.Timeout)),
			key("retry_delay", "30", "Seconds until a DLR that was not acknowledged is tried again.",
				into(seconds(0.01, day), &c.DLRThrower.RetryDelay, &c.SMPPSThrower.RetryDelay)),
			key("max_retries", "3", "How often.", into(number(0, 100000), &c.DLRThrower.MaxRetries, &c.SMPPSThrower.MaxRetries)),
			key("max_per_host", "16", "Calls under way to one host at a time.", into(number(1, 1000), &c.DLRThrower.PerHost)),
			key("allow", "", "Addresses and networks that a dlr-url may lead to, separated by commas; empty: all but those in deny. A name counts by what it resolves to when it is called.",
				into(parseNetworks, &c.DLRThrower.Reach.Allow)),
			key("deny", linkLocal, "Addresses and networks that a dlr-url may not lead to, whatever is in allow; by default those where clouds keep credentials.",
				into(parseNetworks, &c.DLRThrower.Reach.Deny)),
			key("https_only", "False", "Whether only https URLs are called.", into(boolean, &c.DLRThrower.Reach.HTTPSOnly)),
			key("dlr_pdu", "deliver_sm", "What receipts are sent to ESMEs as: deliver_sm or data_sm.",
				into(choice(option[bool]{"deliver_sm", false}, option[bool]{"data_sm", true}), &c.SMPPSThrower.DataSM)),
			key("smpps_hold", "172800", "Seconds for which what waits for an ESME that is not bound is kept; then it becomes a dead letter.", into(seconds(1, 365*day), &c.SMPPSThrower.Hold)),
		}, logKeys("dlr-thrower.log", "W6", &c.DLRThrowerLog)),
		// Nor this one.
		section("dead-letters", []Key{
			key("max_kept", "100000", "How many dead letters can be listed, brought back and purged at a time; more wait in their queue, jasmind.dead_letter.",
				into(number(1, 100_000_000), &c.DeadLetters.Max)),
			key("retention", "0", "Seconds after which a dead letter is dropped for good; 0: never.", into(seconds(0, 10*365*day), &c.DeadLetters.Retention)),
		}),
		section("redis-client", []Key{
			key("host", "127.0.0.1", "Redis's address.", into(text, &c.Redis.Host)),
			key("port", "6379", "Redis's port.", into(number(1, 65535), &c.Redis.Port)),
			key("dbid", "0", "Database number.", into(number(0, 1000000), &c.Redis.DB)),
			key("password", "None", "Password; None: none.", into(unless("None"), &c.Redis.Password)),
			key("timeout", "5", "Seconds that connecting, or an answer, may take; then Redis counts as away.",
				into(seconds(0.1, 3600), &c.Redis.DialTimeout, &c.Redis.Timeout)),
			key("low_memory_mib", "0", "MiB left of Redis's maxmemory below which no message is accepted; 0: the smaller of 256 MiB and 10 %.",
				into(mebibytes[uint64](0, 1<<20), &c.Redis.LowMemory)),
		}, clientTLS("Redis", "Its TLS listener has a port of its own.", &c.RedisTLS), void("concurrent calls share pipelines", key("poolsize", "10", "", into(number(0, maxWhole)))), logKeys("redis-client.log", "W6", &c.RedisLog)),
		section("jcli", []Key{
			key("bind", "127.0.0.1", "Address to listen on.", into(text, &c.Console.Bind)),
			key("port", "8990", "Port to listen on; 0: any free one.", into(port, &c.Console.Port)),
			key("authentication", "True", "Whether the console asks for username and password. Do not switch it off unless nobody else can connect.",
				into(boolean, &c.Console.Authentication)),
			key("admin_username", "jcliadmin", "Username of the console.", into(text, &c.Console.AdminUsername)),
			key("admin_password", jcli.DefaultAdminPassword, "Digest of the password: $argon2id$..., or 32 hexadecimal digits of MD5 as in the original.",
				into(digest, &c.Console.AdminPassword)),
			key("idle_timeout", "3600", "Seconds without a key from the operator after which his session ends.", into(seconds(1, day), &c.Console.IdleTimeout)),
			key("max_sessions", "100", "Sessions at a time.", into(number(1, 10000), &c.Console.MaxSessions)),
			key("max_sessions_per_address", "50", "Of them, from one address (of IPv6: one /64).", into(number(1, 10000), &c.Console.MaxPerAddress)),
			key("allow", "", "IPv4 and IPv6 addresses and networks that may connect, separated by commas; empty: everybody. Connections of others are closed at once.",
				into(parseNetworks, &c.Console.Allow)),
		}, logKeys("jcli.log", "W6", &c.ConsoleLog)),
		// The original has these in a file of their own.
		section("interceptor", []Key{
			key("python", "python3", "Interpreter of the Python scripts, a path or a name in PATH. Without one, Python scripts cannot be added; everything else works.",
				into(something, &c.Interceptor.Python)),
			key("workers", "0", "Python processes at most, started as they are needed; 0: twice the cores, at least 4.", into(number(0, 1024), &c.Interceptor.Workers)),
			key("queue", "1000", "Messages that wait for one of them at most; more are refused.", into(number(1, 1000000), &c.Interceptor.Queue)),
			key("timeout", "10", "Seconds that one run of a script may take, and that a message waits for a process.", into(seconds(0.01, 3600), &c.Interceptor.Timeout)),
			key("memory", "1024", "MiB of address space of a process, from 64; 0: as much as it wants.", into(zeroIs(-1, scriptMemory), &c.Interceptor.Memory)),
			key("path", "", "Folders, separated by colons, from which scripts import beside the interpreter's own. PYTHONPATH and a user's packages have no effect.",
				into(parseFolders, &c.Interceptor.Path)),
			key("environment", "", "Names, separated by spaces or commas, of environment variables that scripts see; beside them only PATH, HOME, LANG, TZ and the like, so that no secret of the gateway reaches a script.",
				into(parseVariables, &c.Interceptor.Environment)),
			key("log_slow_script", "1", "Seconds from which the run of a script is logged as slow; 0: every run; -1: none.",
				into(zeroIs(shortest, seconds(-1, 3600)), &c.Interceptor.SlowScript)),
		}, logKeys("interceptor.log", "W6", &c.InterceptorLog), internalPort("8987", "iadmin", "dd8b84cdb60655fed3b9b2d668c5bd9e", onOurs)),
		section("interceptor-client", internalClient("8987", "iadmin", onOurs)),
	)
}

// clientTLS are the keys of secured connections to a service.
func clientTLS(service, ports string, c *ClientTLS) []Key {
	return []Key{
		key("ssl", "False", "Whether "+service+" is spoken to over TLS, 1.2 and later. "+ports, into(boolean, &c.On)),
		key("ssl_ca", "", "PEM file with the CA certificates that vouch for that of "+service+"; empty: those of the system. Read again on HUP and when it changes.", into(text, &c.CA)),
		key("ssl_cert", "", "PEM file with the gateway's certificate, where "+service+" asks for one; read again likewise.", into(text, &c.Cert)),
		key("ssl_key", "", "PEM file with the key of that certificate; read again likewise.", into(text, &c.Key)),
		key("ssl_server_name", "", "Name that the certificate of "+service+" must be for; empty: host.", into(text, &c.ServerName)),
	}
}
