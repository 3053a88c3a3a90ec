package gateway

import (
	"context"

	"jasmind/internal/intercept"
	"jasmind/internal/provision"
)

// startScripts makes the pool that runs scripts. It starts no interpreter before one is needed.
func (g *Gateway) startScripts() {
	g.pool = intercept.New(g.cfg.Interceptor, g.logs.scripts)
	g.scripts = provision.NewScripts(g.pool, g.logs.scripts)
	g.run("script check", func(ctx context.Context) error { return g.scripts.Watch(ctx, g.state) })
}
