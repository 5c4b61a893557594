package gate

import (
	"fmt"
	"net/http"
	"path"
	"strings"

	"github.com/caddycaptcha/caddycaptcha/internal/request"
)

// Gates are the gates of one config.
type Gates struct{ all []*Gate }

// Add adds a gate. It is an error if its endpoints and those of another policy
// are in each other's way.
func (gs *Gates) Add(g *Gate) error {
	for _, other := range gs.all {
		if err := Apart(g.BasePath, other.BasePath, fmt.Sprintf("policy %q", other.Policy)); err != nil {
			return err
		}
	}
	gs.all = append(gs.all, g)
	return nil
}

// All returns the gates in the order in which they were added.
func (gs *Gates) All() []*Gate { return gs.all }

// Named returns the gate of a policy, or nil.
func (gs *Gates) Named(policy string) *Gate {
	for _, g := range gs.all {
		if g.Policy == policy {
			return g
		}
	}
	return nil
}

// Endpoint finds the gate whose endpoint a request asks for, by the path that
// the client sent, and the endpoint's name.
func (gs *Gates) Endpoint(r *http.Request) (g *Gate, name string, ok bool) {
	asked := path.Clean(request.Original(r).URL.Path)
	for _, g := range gs.all {
		if within(asked, g.BasePath) {
			return g, strings.TrimPrefix(asked[len(g.BasePath):], "/"), true
		}
	}
	return nil, "", false
}

// Apart returns an error if the base paths of two policies are in each other's
// way.
func Apart(basePath, other, otherOrigin string) error {
	if within(basePath, other) || within(other, basePath) {
		return fmt.Errorf("base_path %s and base_path %s of another policy (%s) are equal, or one lies in the other; give one a path of its own", basePath, other, otherOrigin)
	}
	return nil
}

// within reports whether the path is the base or lies under it.
func within(path, base string) bool {
	rest, ok := strings.CutPrefix(path, base)
	return ok && (rest == "" || rest[0] == '/')
}
