package readings_test

import (
	"slices"
	"strings"
)

// facts are the names of the logins that a request ran, by what they need. A
// name is a reading and a need: "getRequestURI:begins" ran because what Tomcat
// returns as the request's URI begins with /login. Each server is many
// applications in one; the one with a path of one reading and a method of
// another ran its login if both are there.
//
//	exact, fold     the path is /login, or is it in lower case
//	trimmed         it is, once slashes at its end are cut
//	under, begins   it is /login or below it, or begins so
//	route-...       a front controller was given such a path in its query
//	php, jsp        the script runs
//	GET, POST ...   the method, where overrides count
//	action, do_action  the query has this parameter with the value login
//	host            the host is login.example.com
type facts map[string][]string

func parseFacts(header string) facts {
	ran := facts{}
	for name := range strings.SplitSeq(header, ", ") {
		if i := strings.LastIndexByte(name, ':'); i > 0 {
			ran[name[i+1:]] = append(ran[name[i+1:]], name)
		}
	}
	return ran
}

// needs are what an application asks of a request: one of each group.
type needs [][]string

// met returns by which names the needs are met, and nothing if they are not.
func (n needs) met(ran facts) (names []string) {
	for _, group := range n {
		i := slices.IndexFunc(group, func(need string) bool { return len(ran[need]) > 0 })
		if i < 0 {
			return nil
		}
		names = append(names, ran[group[i]]...)
	}
	return names
}

// kind is a kind of matcher in front of applications whose login it is meant
// to protect.
type kind struct {
	name string
	// matcher is what captcha gets; before is what stands before it in the site.
	matcher, before string
	// needs are those of the applications that the matcher means: whoever
	// writes it protects every login that asks for this and no more.
	needs needs
	// outside is what goes before an ordinary target where the matcher does
	// not mean it.
	outside string
	// servers are those whose applications may have such a site, nil being all.
	servers []string
	// variants returns the requests to make of a generated one, nil being itself.
	variants func(request) []request
	// means says whether the matcher means the request, nil being always.
	means func(request) bool
}

var (
	paths  = []string{"begins", "under", "exact", "fold"}
	exact  = []string{"exact", "fold"}
	routes = []string{"route-begins", "route-exact", "route-fold"}
)

// kinds are the kinds of matchers. A path with * at its end is the only one
// without a warning at load; the readings make the other warnings moot for the
// logins that are named here, and not for others: nobody who writes `path
// /login` protects /login/x.
var kinds = []kind{
	{name: "path", matcher: "path /login*", needs: needs{paths}},
	{name: "path list", matcher: "path /login /login/*", needs: needs{{"under", "exact", "fold"}}},
	{name: "path exact", matcher: "path /login", needs: needs{exact}},
	{name: "path substring", matcher: "path *login*", needs: needs{paths}},
	{name: "path end", matcher: "path */login", needs: needs{exact}},
	{name: "script", matcher: "path *.php", needs: needs{{"php"}}},
	{name: "jsp", matcher: "path *.jsp", needs: needs{{"jsp"}}},
	{name: "regexp any case", matcher: "path_regexp (?i)^/login", needs: needs{paths}},
	{name: "regexp", matcher: "path_regexp ^/login", needs: needs{paths}},
	{name: "regexp end", matcher: "path_regexp ^/login$", needs: needs{exact}},
	{name: "not public", matcher: "not path /public/*", needs: needs{paths}, outside: "/public"},
	{name: "not public behind strip_prefix", before: "uri strip_prefix /app", matcher: "not path /public/* /app/public/*", needs: needs{paths}, variants: mounted, outside: "/app/public"},
	{name: "not css", matcher: "not path *.css", needs: needs{exact}, outside: everywhere},
	{name: "path POST", matcher: "method POST\npath /login*", needs: needs{paths, {"POST"}}},
	{name: "path PUT", matcher: "method PUT\npath /login*", needs: needs{paths, {"PUT"}}},
	{name: "path GET", matcher: "method GET\npath /login*", needs: needs{paths, {"GET"}}},
	{name: "path not safe", matcher: "not method GET HEAD OPTIONS\npath /login*", needs: needs{paths, {"POST", "PUT", "DELETE"}}},
	{name: "query", matcher: "query action=login", needs: needs{{"action"}}},
	{name: "query name", matcher: "query do_action=login", needs: needs{{"do_action"}}},
	{name: "script query", matcher: "path *.php\nquery action=login", needs: needs{{"php"}, {"action"}}},
	{name: "host", matcher: "host login.example.com", needs: needs{{"host"}}},
	{name: "everything", matcher: "method POST\npath /login*\nquery action=login\nhost login.example.com", needs: needs{paths, {"POST"}, {"action"}, {"host"}}},
	{name: "expression path", matcher: "expression path('/login*')", needs: needs{paths}},
	{name: "expression uri", matcher: "expression `{http.request.uri.path}.startsWith('/login')`", needs: needs{paths}},
	{name: "map", before: "map {http.request.uri.path} {protected} {\n~(?i)^/login yes\ndefault no\n}", matcher: "vars {protected} yes", needs: needs{paths}},
	{name: "strip_prefix", before: "uri strip_prefix /app", matcher: "path /login*", needs: needs{paths}, variants: mounted},
	{
		name: "try_files", before: "root testdata/empty\ntry_files {path} /index.php?route={path}", matcher: "path /login*", needs: needs{routes}, servers: []string{"php"},
		// A request that names a route itself does so to an application that
		// takes it from anybody.
		means: func(r request) bool { return !strings.Contains(r.target, "?") },
	},
	{
		name: "rewrite", before: "rewrite /form /login\nmethod PUT", matcher: "method POST\npath /login*", needs: needs{paths},
		variants: func(r request) []request {
			_, query, asked := strings.Cut(r.target, "?")
			form := r
			form.target = "/form"
			if asked {
				form.target += "?" + query
			}
			return []request{r, form}
		},
		means:   func(r request) bool { return r.method == "POST" },
		servers: []string{"chi", "go", "node", "php"},
	},
}

// everywhere is the outside of a matcher that means every ordinary target.
const everywhere = "/everywhere"

// mounted returns a request and the one below /app.
func mounted(r request) []request {
	below := r
	below.target = "/app" + r.target
	return []request{r, below}
}

// requests returns the requests that a kind makes of a generated one and means.
func (k kind) requests(r request) []request {
	all := []request{r}
	if k.variants != nil {
		all = k.variants(r)
	}
	return slices.DeleteFunc(all, func(r request) bool { return k.means != nil && !k.means(r) })
}

// inFrontOf returns those of the servers that the kind's sites stand before.
func (k kind) inFrontOf(servers []*server) []*server {
	if k.servers == nil {
		return servers
	}
	return slices.DeleteFunc(slices.Clone(servers), func(s *server) bool { return !slices.Contains(k.servers, s.name) })
}
