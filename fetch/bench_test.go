package fetch_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"distkeep/catalog/digest"
	"distkeep/fetch"
	"distkeep/fetch/fetchtest"
)

// fetchAll is one Run in which everything must succeed.
func fetchAll(b *testing.B, f *fetch.Fetcher, reqs []*fetch.Request) {
	b.Helper()
	err := f.Run(b.Context(), fetch.Made(reqs...), func(r fetch.Result) {
		if r.Err != nil {
			b.Error(r.Err)
		}
	})
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSmallFiles fetches and verifies files of a few hundred bytes to 16 KiB
// from one host; the unit is a file, the server's share included.
func BenchmarkSmallFiles(b *testing.B) {
	u := upstream(b, "127.0.0.1:0")
	dir := b.TempDir()
	reqs := make([]*fetch.Request, b.N)
	for i := range reqs {
		name := fmt.Sprint(i)
		data := fetchtest.Content(name, 300+i*7919%16_000)
		u.Add(name, data)
		reqs[i] = want(b, dir, name, data, u.URL+"/ok/"+name)
	}
	o := options(u.URL)
	o.HostJobs = 16
	f := fetcher(b, o)
	b.ReportAllocs()
	b.ResetTimer()
	fetchAll(b, f, reqs)
}

// BenchmarkBigFiles fetches eight files of 32 MiB at a time.
func BenchmarkBigFiles(b *testing.B) {
	u := upstream(b, "127.0.0.1:0")
	const size, n = 32 << 20, 8
	data := fetchtest.Content("big", size)
	o := options(u.URL)
	o.HostJobs = n
	f := fetcher(b, o)
	dir := b.TempDir()
	var reqs []*fetch.Request
	for i := range n {
		name := fmt.Sprint(i)
		u.Add(name, data)
		reqs = append(reqs, want(b, dir, name, data, u.URL+"/ok/"+name))
	}
	b.SetBytes(size * n)
	for b.Loop() {
		fetchAll(b, f, reqs)
		b.StopTimer()
		for _, r := range reqs {
			if err := os.Remove(r.Part); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
	}
}

// BenchmarkDigests is what the three digests alone reach over all cores: the
// bound of BenchmarkBigFiles.
func BenchmarkDigests(b *testing.B) {
	data := fetchtest.Content("big", 4<<20)
	b.SetBytes(int64(len(data)))
	b.RunParallel(func(pb *testing.PB) {
		h := digest.NewHasher(digest.SHA512, digest.BLAKE2B)
		for pb.Next() {
			h.Write(data)
		}
	})
}

// BenchmarkStorm is one pass over 2,000 files on eight hosts with round trips of
// 20 ms, four connections a host and a stall limit of 2 s: without faults, and
// with one file in ten and in five that shows one, all faults of fetchtest in
// turn. All that can be had is had (TestStorm). On two virtual cores, with other
// work on them: 2.9 s, 7.3 s and 10.5 s, that is 2.5 and 3.6 times the calm run. The
// time goes into stalled transfers, which hold a connection for 2 s each time, and
// into lanes that were halved.
func BenchmarkStorm(b *testing.B) {
	for _, c := range []struct {
		name   string
		every  int
		faults []fetchtest.Fault
	}{{"calm", 10, nil}, {"one-in-10", 10, fetchtest.Faults(true)}, {"one-in-5", 5, fetchtest.Faults(true)}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s := newStorm(b, 2000, c.every, c.faults)
				for _, h := range s.hosts {
					h.Delay = 20 * time.Millisecond
				}
				o := s.options(b)
				o.Stall, o.RateWindow, o.RetryWait, o.MaxRetryWait, o.MaxRetryAfter = 2*time.Second, 0, 0, 0, 0
				f := fetcher(b, o)
				b.StartTimer()
				had, missed := 0, 0
				err := f.Run(b.Context(), fetch.Made(s.reqs...), func(r fetch.Result) {
					switch {
					case r.Err == nil:
						had++
					case s.class[string(r.Request.Name)] == "":
						missed++
					}
				})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(had), "had")
				b.ReportMetric(float64(missed), "missed")
			}
		})
	}
}
