package pages_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// harness looks at the pages as a visitor does, in a frame of a given width, and puts
// what is wrong into its title.
const harness = `<!doctype html><title>waiting</title><iframe id="f" style="border:0;height:800px"></iframe><script>
const width = +new URLSearchParams(location.search).get("width");
const frame = document.getElementById("f"), wrong = [];
frame.style.width = width + "px";
const check = (ok, text) => { if (!ok) wrong.push(text); };
const load = (url) => new Promise((done) => { frame.onload = () => done(frame.contentDocument); frame.src = url; });
const visible = (d) => Array.from(d.querySelectorAll("tbody tr")).filter((r) => r.getClientRects().length > 0).length;
(async () => {
  for (const page of ["index", "failures", "hosts", "deletions", "whitelist", "quarantine", "conflicts"]) {
    const d = await load(page + ".html");
    check(d.documentElement.scrollWidth <= width, page + " is wider than " + width + ": " + d.documentElement.scrollWidth);
    check(d.querySelector("h1") && d.documentElement.lang === "en", page + " has no heading or language");
    const colours = frame.contentWindow.getComputedStyle(d.body);
    const dark = frame.contentWindow.matchMedia("(prefers-color-scheme: dark)").matches;
    check((colours.backgroundColor === "rgb(255, 255, 255)") === !dark, page + " has the background " + colours.backgroundColor);
    for (const e of d.querySelectorAll("a, input, select, summary")) check(e.tabIndex >= 0, page + ": no key leads to " + e.outerHTML);
  }
  let d = await load("failures.html");
  check(visible(d) === 50, "without a filter " + visible(d) + " rows");
  const search = d.getElementById("search"), kind = d.getElementById("class"), fresh = d.getElementById("new");
  const set = (e, f) => { f(e); e.dispatchEvent(new Event("input", { bubbles: true })); };
  set(kind, (e) => { e.value = "digest"; });
  check(visible(d) === 7, "of class digest " + visible(d));
  check(frame.contentWindow.location.hash === "#class=digest", "the address is " + frame.contentWindow.location.hash);
  set(kind, (e) => { e.value = ""; });
  set(search, (e) => { e.value = "P7 m7@example"; });
  check(visible(d) === 1, "of one package " + visible(d));
  set(search, (e) => { e.value = ""; });
  set(fresh, (e) => { e.checked = true; });
  check(visible(d) === 5 && d.getElementById("shown").textContent === "5 of 50", "new " + visible(d));
  d = await load("failures.html?again#class=tls");
  check(visible(d) === 6, "by its address " + visible(d));
  d = await load("index.html?again");
  const to = d.querySelector(".columns a[href^='maintainer/']").href;
  d = await load(to);
  check(visible(d) > 0 && d.querySelector("h1").textContent.includes("@example.org"), "the page of a maintainer is empty");
  document.title = wrong.length ? wrong.join("; ") : "right";
})().catch((e) => { document.title = "" + e; });
</script>`

// TestBrowser: in a real browser, on a phone and on a desk, by day and by night, pages
// fit, filters filter and links lead on.
func TestBrowser(t *testing.T) {
	t.Parallel()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("there is no chromium")
	}
	dir := t.TempDir()
	if err := site(50).Write(dir); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(dir)))
	mux.HandleFunc("/harness.html", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(harness))
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	title := regexp.MustCompile(`<title>([^<]*)</title>`)
	for width, scheme := range map[string]string{"390": "1", "1280": "0"} { // light, dark
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--user-data-dir="+filepath.Join(t.TempDir(), "profile"),
			"--blink-settings=preferredColorScheme="+scheme, "--virtual-time-budget=30000", "--window-size=1400,900", "--dump-dom", srv.URL+"/harness.html?width="+width).Output()
		if err != nil {
			t.Fatal(err)
		}
		if m := title.FindSubmatch(out); m == nil || string(m[1]) != "right" {
			t.Errorf("width %s, scheme %s: %s", width, scheme, m)
		}
	}
}
