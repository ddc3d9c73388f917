package fetchtest

import (
	"fmt"
	"net/http"
	"strings"
)

// The faults of this file are ways of redirectors.

// moved answers by a code and a Location as it stands, which a http.Server would
// not send.
func moved(code int, to func(*request) string) func(*request) {
	return func(q *request) {
		q.raw(fmt.Sprintf("HTTP/1.1 %d Moved\nLocation: %s\nContent-Length: 0\nConnection: close\n\n", code, to(q)), nil)
	}
}

// sometimes leads to a bad place every other time, from the first on.
func sometimes(bad string) func(*request) {
	return redirect(func(q *request) string {
		if q.attempt%2 == 1 {
			return q.u.Other + "/" + bad + "/" + q.name
		}
		return q.u.Other + "/ok/" + q.name
	})
}

// withCookie sets a cookie and leads elsewhere until it comes back.
func withCookie(to func(*request) string) func(*request) {
	return func(q *request) {
		if c, err := q.r.Cookie("seen"); err == nil && c.Value == "yes" {
			q.ok()
			return
		}
		q.Header().Set("Set-Cookie", "seen=yes; Path=/")
		redirect(to)(q)
	}
}

func init() {
	for name, to := range map[string]func(*request) string{
		"location-percent":   func(q *request) string { return "/ok/100%/" + q.name },
		"location-percents":  func(q *request) string { return q.u.URL + "/ok/%zz/%/" + q.name + "?a=%" },
		"location-blank":     func(q *request) string { return q.u.URL + "/ok/a b/" + q.name },
		"location-quotes":    func(q *request) string { return "/ok/\"<a>|{b}^`\"/" + q.name },
		"location-utf8":      func(q *request) string { return "/ok/ü/" + q.name },
		"location-latin1":    func(q *request) string { return "/ok/\xfc/" + q.name },
		"location-backslash": func(q *request) string { return strings.ReplaceAll(q.u.URL, "/", `\`) + `\ok/` + q.name },
		"location-slash":     func(q *request) string { return strings.Replace(q.u.URL, "//", "/", 1) + "/ok/" + q.name },
		"location-slashes":   func(q *request) string { return strings.Replace(q.u.URL, "//", "////", 1) + "/ok/" + q.name },
		"location-no-scheme": func(q *request) string { return strings.TrimPrefix(q.u.URL, "http:") + "/ok/" + q.name },
		"location-capitals":  func(q *request) string { return strings.Replace(q.u.URL, "http", "HTTP", 1) + "/ok/" + q.name },
		"location-fragment":  func(q *request) string { return "/ok/" + q.name + "#a%zz b" },
		"location-colon":     func(q *request) string { return "a:b/../../ok/" + q.name },
		"location-dots":      func(q *request) string { return "../../../../ok/./x/../" + q.name },
		"location-query":     func(q *request) string { return "/ok/" + q.name + "?url=http://x/y?z=a b&c=[1]" },
		"location-blanks":    func(q *request) string { return "  \t /ok/" + q.name + "  " },
	} {
		faults[name] = Fault{serve: moved(http.StatusFound, to)}
	}
	for _, code := range []int{300, 301, 303, 307, 308} {
		faults[fmt.Sprint("redirect-", code)] = Fault{serve: moved(code, func(q *request) string { return "/ok/" + q.name })}
	}
	faults["location-none"] = Fault{Class: "bad-uri", serve: moved(http.StatusFound, func(*request) string { return "" })}
	faults["chain-50"] = Fault{serve: redirect(func(q *request) string {
		n := strings.Count(q.r.URL.Path, "/x/")
		if n == 49 {
			return "/ok/" + q.name
		}
		if n%2 == 1 {
			return "/chain-50" + strings.Repeat("/x/", n+1) + q.name
		}
		return q.u.Other + "/chain-50" + strings.Repeat("/x/", n+1) + q.name
	})}
	for _, bad := range []string{"404", "403", "html", "wrong", "too-short", "503", "cut-always", "redirect-private", "redirect-port"} {
		faults["sometimes-"+bad] = Fault{serve: sometimes(bad)}
	}
	faults["sometimes-within"] = Fault{serve: redirect(func(q *request) string {
		if q.attempt%2 == 1 {
			return "/404/" + q.name
		}
		return "/ok/" + q.name
	})}
	faults["third-time"] = Fault{serve: redirect(func(q *request) string {
		if q.attempt < 3 {
			return fmt.Sprintf("%s/404/%d/%s", q.u.Other, q.attempt, q.name)
		}
		return q.u.Other + "/ok/" + q.name
	})}
	faults["cookie-loop"] = Fault{serve: withCookie(func(q *request) string { return q.r.URL.EscapedPath() })}
	faults["cookie-hosts"] = Fault{serve: withCookie(func(q *request) string { return q.u.Other + "/back/" + q.name })}
	faults["back"] = Fault{serve: redirect(func(q *request) string { return q.u.Other + "/cookie-hosts/" + q.name })}
	faults["cookie-hurts"] = Fault{serve: func(q *request) {
		if len(q.r.Cookies()) > 0 {
			status(http.StatusForbidden)(q)
			return
		}
		if q.r.URL.RawQuery == "" {
			q.Header().Set("Set-Cookie", "track=me; Path=/")
			redirect(func(q *request) string { return q.r.URL.EscapedPath() + "?to" })(q)
			return
		}
		q.ok()
	}}
}
