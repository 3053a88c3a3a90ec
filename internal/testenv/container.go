package testenv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"
)

// containerSpec is what a kind of service needs of its container.
type containerSpec struct {
	command []string          // default: the image's
	env     map[string]string // besides the image's
	files   map[string]string // content by path
	data    string            // directory of the service's data
}

// Labels of every container that testenv makes.
const (
	labelMine  = "jasmind.testenv"
	labelOwner = "jasmind.testenv.owner"
)

const (
	pullTimeout = time.Minute
	stopTimeout = 20 * time.Second // then the engine kills
)

// prepare sets what testcontainers reads once, at its first use. Its reaper's image may
// not be at hand, and the watchdog does its work; the address it would guess for the host
// is that of the default gateway, which need not answer.
var prepare = sync.OnceFunc(func() {
	for name, value := range map[string]string{
		"TESTCONTAINERS_RYUK_DISABLED": "true",
		"TESTCONTAINERS_HOST_OVERRIDE": "127.0.0.1",
	} {
		if _, set := os.LookupEnv(name); !set {
			os.Setenv(name, value)
		}
	}
	tclog.SetDefault(tclog.NewNoopLogger())
})

// withEngine runs f on a client of the Docker engine that ends with f.
func withEngine(ctx context.Context, f func(*testcontainers.DockerClient) error) (err error) {
	prepare()
	defer func() { // testcontainers panics on some unusable settings
		if p := recover(); p != nil {
			err = fmt.Errorf("no usable Docker engine: %v", p)
		}
	}()
	engine, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return fmt.Errorf("no Docker engine answers: %w", err)
	}
	defer engine.Close()
	return f(engine)
}

// engineAnswers returns nil if containers can be made.
func engineAnswers(ctx context.Context) error {
	return withEngine(ctx, func(engine *testcontainers.DockerClient) error {
		if _, err := engine.Ping(ctx, client.PingOptions{}); err != nil {
			return fmt.Errorf("no Docker engine answers: %w", err)
		}
		return nil
	})
}

// image returns the name of an image of kind k that the engine has, pulled if need be.
func image(ctx context.Context, engine *testcontainers.DockerClient, k *kind) (string, error) {
	release := cmp.Or(os.Getenv(EnvDebian), defaultDebian)
	names := k.images[release]
	if name := os.Getenv(k.imageEnv); name != "" {
		names = []string{name}
	}
	if names == nil {
		return "", fmt.Errorf("%s=%q: not one of 12, 13", EnvDebian, release)
	}
	for _, name := range names {
		_, err := engine.ImageInspect(ctx, name)
		if err == nil {
			return name, nil
		}
		if !errdefs.IsNotFound(err) {
			return "", fmt.Errorf("look for image %s: %w", name, err)
		}
	}
	name := names[len(names)-1]
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	progress, err := engine.ImagePull(ctx, name, client.ImagePullOptions{})
	if err == nil {
		err = progress.Wait(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("none of the images %s is there, and the last cannot be pulled: %w", strings.Join(names, ", "), err)
	}
	return name, nil
}

// dockerContainer is an instance in a container.
type dockerContainer struct {
	c       *testcontainers.DockerContainer
	address string
	watch   *watchdog
	removed bool
}

func newContainer(ctx context.Context, k *kind, ports []int) (instance, error) {
	var made *dockerContainer
	err := withEngine(ctx, func(engine *testcontainers.DockerClient) error {
		name, err := image(ctx, engine, k)
		if err != nil {
			return err
		}
		address, bindTo := engineHost(engine.DaemonHost())
		spec := k.container()
		exposed := make([]string, len(ports))
		bindings := network.PortMap{}
		for i, port := range ports {
			exposed[i] = strconv.Itoa(k.ports[i]) + "/tcp"
			bindings[network.MustParsePort(exposed[i])] = []network.PortBinding{
				// Bound by number: a container that starts again would get another port.
				{HostIP: bindTo, HostPort: strconv.Itoa(port)},
			}
		}
		var files []testcontainers.ContainerFile
		for _, path := range slices.Sorted(maps.Keys(spec.files)) {
			files = append(files, testcontainers.ContainerFile{
				Reader: strings.NewReader(spec.files[path]), ContainerFilePath: path, FileMode: 0o644,
			})
		}
		c, err := testcontainers.Run(ctx, name,
			testcontainers.WithName("jasmind-testenv-"+k.name+"-"+randomHex()),
			testcontainers.WithLabels(map[string]string{labelMine: k.name, labelOwner: thisOwner().String()}),
			testcontainers.WithEnv(spec.env),
			testcontainers.WithFiles(files...),
			testcontainers.WithExposedPorts(exposed...),
			testcontainers.WithHostConfigModifier(func(h *container.HostConfig) {
				h.PortBindings = bindings
				// A volume outlives a stop and goes with the container. The layers of a container may be a
				// file system in user space, where each write of the service costs many times as much.
				h.Mounts = append(h.Mounts, mount.Mount{Type: mount.TypeVolume, Target: spec.data})
			}),
			testcontainers.CustomizeRequestOption(func(req *testcontainers.GenericContainerRequest) error {
				req.Cmd = spec.command
				return nil
			}),
		)
		if c != nil {
			made = &dockerContainer{c: c, address: address}
			made.watch = watchContainer(c.GetContainerID())
		}
		return err
	})
	if err != nil {
		if made != nil {
			tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
			defer cancel()
			err = errors.Join(err, made.remove(tidy))
		}
		return nil, err
	}
	return made, nil
}

// engineHost tells where the ports of containers are reached, and which address of the
// engine's host they are bound to.
func engineHost(daemon string) (address string, bindTo netip.Addr) {
	if u, err := url.Parse(daemon); err == nil && u.Hostname() != "" && u.Scheme != "unix" && u.Scheme != "npipe" {
		return u.Hostname(), netip.IPv4Unspecified()
	}
	return "127.0.0.1", netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

func (d *dockerContainer) host() string { return d.address }

func (d *dockerContainer) start(ctx context.Context) error { return d.c.Start(ctx) }

func (d *dockerContainer) stop(ctx context.Context) error {
	timeout := stopTimeout
	return d.c.Stop(ctx, &timeout)
}

func (d *dockerContainer) kill(ctx context.Context) error {
	return withEngine(ctx, func(engine *testcontainers.DockerClient) error {
		id := d.c.GetContainerID()
		if _, err := engine.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "SIGKILL"}); err != nil {
			return err
		}
		wait := engine.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
		select {
		case err := <-wait.Error:
			return err
		case <-wait.Result:
			return nil
		}
	})
}

func (d *dockerContainer) pause(ctx context.Context) error {
	return withEngine(ctx, func(engine *testcontainers.DockerClient) error {
		_, err := engine.ContainerPause(ctx, d.c.GetContainerID(), client.ContainerPauseOptions{})
		return err
	})
}

func (d *dockerContainer) unpause(ctx context.Context) error {
	return withEngine(ctx, func(engine *testcontainers.DockerClient) error {
		_, err := engine.ContainerUnpause(ctx, d.c.GetContainerID(), client.ContainerUnpauseOptions{})
		return err
	})
}

func (d *dockerContainer) remove(ctx context.Context) error {
	if d.removed {
		return nil
	}
	err := withEngine(ctx, func(engine *testcontainers.DockerClient) error {
		return removeContainer(ctx, engine, d.c.GetContainerID())
	})
	if err == nil {
		d.removed = true
		d.watch.dismiss()
	}
	return err
}

func removeContainer(ctx context.Context, engine *testcontainers.DockerClient, id string) error {
	_, err := engine.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

func (d *dockerContainer) exited(ctx context.Context) bool {
	state, err := d.c.State(ctx)
	return err == nil && !state.Running
}

func (d *dockerContainer) exec(ctx context.Context, argv ...string) error {
	return withEngine(ctx, func(engine *testcontainers.DockerClient) error {
		made, err := engine.ExecCreate(ctx, d.c.GetContainerID(), client.ExecCreateOptions{Cmd: argv, AttachStdout: true, AttachStderr: true})
		if err != nil {
			return fmt.Errorf("%s: %w", argv[0], err)
		}
		out, err := engine.ExecAttach(ctx, made.ID, client.ExecAttachOptions{})
		if err != nil {
			return fmt.Errorf("%s: %w", argv[0], err)
		}
		defer out.Close()
		text, err := io.ReadAll(io.LimitReader(out.Reader, 1<<20)) // until the command has ended
		if err != nil {
			return fmt.Errorf("%s: %w", argv[0], err)
		}
		for tick := time.Tick(10 * time.Millisecond); ; <-tick { // until the engine has noticed
			result, err := engine.ExecInspect(ctx, made.ID, client.ExecInspectOptions{})
			switch {
			case err != nil:
				return fmt.Errorf("%s: %w", argv[0], err)
			case result.Running:
			case result.ExitCode != 0:
				return fmt.Errorf("%s: exit code %d: %s", argv[0], result.ExitCode, lastLines(string(text), 4096))
			default:
				return nil
			}
		}
	})
}

func (d *dockerContainer) log(ctx context.Context) string {
	stream, err := d.c.Logs(ctx)
	if err != nil {
		return err.Error()
	}
	defer stream.Close()
	text, err := io.ReadAll(io.LimitReader(stream, 1<<20))
	if err != nil {
		return err.Error()
	}
	return lastLines(string(text), 4096)
}

// sweepContainers removes what owners that are gone have left.
func sweepContainers(ctx context.Context) ([]string, error) {
	var swept []string
	err := withEngine(ctx, func(engine *testcontainers.DockerClient) error {
		list, err := engine.ContainerList(ctx, client.ContainerListOptions{
			All: true, Filters: client.Filters{}.Add("label", labelMine),
		})
		if err != nil {
			return fmt.Errorf("list containers: %w", err)
		}
		var errs []error
		for _, c := range list.Items {
			owner, err := parseOwner(c.Labels[labelOwner])
			if err != nil || !owner.gone() {
				continue
			}
			if err := removeContainer(ctx, engine, c.ID); err != nil {
				errs = append(errs, fmt.Errorf("remove container %s: %w", c.ID, err))
				continue
			}
			swept = append(swept, "container "+strings.TrimPrefix(strings.Join(c.Names, ","), "/"))
		}
		return errors.Join(errs...)
	})
	return swept, err
}
