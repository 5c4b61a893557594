package simulator

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestAProofPassesOnceAmongParallelCalls(t *testing.T) {
	sim, _ := newTestSimulator(t)
	v3 := validation(solve(t, sim, "geetest_v3", SolveOptions{ID: testV3.CaptchaID}))
	v4 := signed(solve(t, sim, "geetest_v4", SolveOptions{ID: testV4.CaptchaID}))
	tencent := genuine(sim, solve(t, sim, "tencent", SolveOptions{ID: testTencent.CaptchaAppID}))
	for name, passes := range map[string]func() bool{
		"geetest_v3": func() bool {
			return strings.Contains(do(sim, http.MethodPost, V3ValidatePath, formType, v3.Encode()).Body.String(), md5Hex(v3.Get("seccode")))
		},
		"geetest_v4": func() bool {
			return strings.Contains(do(sim, http.MethodPost, testV4Target, formType, v4.Encode()).Body.String(), `"result":"success"`)
		},
		"tencent": func() bool {
			w := httptest.NewRecorder()
			sim.ServeHTTP(w, tencent.request())
			return strings.Contains(w.Body.String(), `"CaptchaCode":1,`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var passed atomic.Int32
			var calls sync.WaitGroup
			for range 64 {
				calls.Go(func() {
					if passes() {
						passed.Add(1)
					}
				})
			}
			calls.Wait()
			if n := passed.Load(); n != 1 {
				t.Fatalf("passed %d times", n)
			}
		})
	}
}
