package gateway

import (
	"io"
	"log/slog"
	"path/filepath"

	"jasmind/internal/config"
	"jasmind/internal/logging"
	"jasmind/internal/smppc"
)

// serviceLogs are the logs of the services, one file each as in the original.
type serviceLogs struct {
	all       *logging.Logs
	manager   *slog.Logger
	service   *slog.Logger // connectors started and stopped
	router    *slog.Logger // routing, charges, what is configured
	messages  *slog.Logger // lines as they are, from connectors
	dlr       *slog.Logger
	thrower   *slog.Logger
	moThrower *slog.Logger
	broker    *slog.Logger
	redis     *slog.Logger
	http      *slog.Logger
	console   *slog.Logger
	smpp      *slog.Logger
	scripts   *slog.Logger
	access    io.Writer
	connector func(*smppc.Config) (log *slog.Logger, release func() error, err error)
}

func openLogs(cfg *config.Config, stdout io.Writer) (*serviceLogs, error) {
	all := logging.New(stdout, cfg.LogLimits)
	l := &serviceLogs{all: all}
	for _, s := range []struct {
		to   **slog.Logger
		name string
		cfg  logging.Config
	}{
		{&l.manager, "jasmin-sm-manager", cfg.ManagerLog},
		{&l.service, "jasmin-service-smppclient", cfg.ServiceLog},
		{&l.router, "jasmin-router", cfg.RouterLog},
		{&l.messages, "jasmin-sm-listener", cfg.ListenerLog},
		{&l.dlr, "jasmin-dlr-lookup", cfg.DLRLog},
		{&l.thrower, "jasmin-dlr-thrower", cfg.DLRThrowerLog},
		{&l.moThrower, "jasmin-deliversm-thrower", cfg.MOThrowerLog},
		{&l.http, "jasmin-http-api", cfg.HTTPLog},
		{&l.console, "jasmin-jcli", cfg.ConsoleLog},
		{&l.smpp, "jasmin-smpp-server", cfg.SMPPServerLog},
		{&l.scripts, "jasmin-interceptor", cfg.InterceptorLog},
	} {
		var err error
		if *s.to, err = all.Logger(s.name, s.cfg); err != nil {
			all.Close()
			return nil, err
		}
	}
	l.broker, l.redis = l.manager, l.manager
	if cfg.Mode == config.Services {
		var err error
		if l.broker, err = all.Logger("jasmin-amqp-client", cfg.BrokerLog); err == nil {
			l.redis, err = all.Logger("jasmin-redis-client", cfg.RedisLog)
		}
		if err != nil {
			all.Close()
			return nil, err
		}
	}
	if cfg.Access.File != "" {
		w, err := all.Writer(logging.Config{File: cfg.Access.File, Rotate: cfg.HTTPLog.Rotate})
		if err != nil {
			all.Close()
			return nil, err
		}
		l.access = w
	}
	l.connector = func(c *smppc.Config) (*slog.Logger, func() error, error) {
		file := c.LogFile
		if file == smppc.Default(c.CID).LogFile {
			// The default follows LOG_PATH and what the folders depend on.
			file = filepath.Join(cfg.Paths.Log, filepath.Base(file))
		}
		return all.Open("jasmin-smpp-client."+string(c.CID), logging.Config{
			Level: slog.Level((c.LogLevel - 20) / 10 * 4), File: file, Rotate: c.LogRotate,
			Format: cfg.ServiceLog.Format, DateFormat: cfg.ServiceLog.DateFormat,
		})
	}
	return l, nil
}
