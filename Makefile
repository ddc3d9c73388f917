# make demo runs the main job on real bytes; make test runs the tests. Both need
# only Go and a module proxy.

GO ?= go
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
# The race detector needs a C compiler; go knows whether there is one.
RACE := $(if $(filter 1,$(shell $(GO) env CGO_ENABLED)),-race)
PREFIX ?= /usr/local
BIN ?= bin/distkeep
FUZZTIME ?= 30s
SEEDS ?= 300
# Where it has to build as well.
ELSEWHERE = openbsd freebsd netbsd

.PHONY: all demo test test-s3 race lint fuzz bench cover ci install clean

all: bin/distkeep

# The go command knows best what is up to date.
.PHONY: bin/distkeep
bin/distkeep:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags="-s -w" -tags urfave_cli_no_docs,urfave_cli_no_suggest -o $@ ./cmd/distkeep

demo: bin/distkeep
	xargs $(GO) mod download <testdata/demo/modules
	$(GO) build -o bin/upstream ./testdata/demo/upstream
	bin/upstream "$$($(GO) env GOMODCACHE)/cache/download" testdata/demo/demo.sh

test:
	$(GO) test $(RACE) ./...

# With servers of object storage that are in use: one that is fit for an archive, built
# here, which takes some minutes when nothing is cached, and one that has to be refused.
VERSITYGW = github.com/versity/versitygw/cmd/versitygw@v1.8.0
S3RVER = s3rver@3.7.1
test-s3:
	GOBIN=$(CURDIR)/bin $(GO) install $(VERSITYGW)
	if command -v npm >/dev/null; then npm install --silent --no-audit --no-fund --prefix bin/s3rver $(S3RVER); fi
	export DISTKEEP_TEST_VERSITYGW=$(CURDIR)/bin/versitygw; $(GO) test -count=1 ./archive/bucket && \
		DISTKEEP_TEST_S3RVER=$$(ls $(CURDIR)/bin/s3rver/node_modules/.bin/s3rver || true) $(GO) test -count=1 -run 'Bucket|Shard|S3rver' ./cmd/distkeep

# Twice and in another order: what depends on luck shows. Then every operation of a
# run is the one that fails or at which it is killed, storms and tar pits have their
# thousands, and the model has its hundreds of seeds.
race:
	$(GO) test $(RACE) -count=2 -shuffle=on ./...
	DISTKEEP_SWEEP=1 $(GO) test -run 'TestCrash|TestFaults|TestFull|Kills$$' -timeout 0 ./archive/store ./cmd/distkeep
	DISTKEEP_SWEEP=1 $(GO) test $(RACE) -run 'TestStorm|TestThousandTarPits' ./fetch
	DISTKEEP_MODEL=$(SEEDS) $(GO) test -run 'TestModel$$' -timeout 0 ./cmd/distkeep

lint:
	@out=$$(gofmt -l .); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	@set -e; for os in $(ELSEWHERE); do echo "GOOS=$$os go build"; GOOS=$$os $(GO) build -o /dev/null ./cmd/distkeep; done

# Every fuzz target of every package for FUZZTIME; their seeds run in make test.
# To make every interesting input as short as it gets would take all of the time.
fuzz:
	@set -e; for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$p; \
		done; done

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

cover:
	$(GO) test -coverprofile=cover.out -coverpkg=./... ./...
	$(GO) tool cover -func=cover.out | tail -n 1

ci: lint test demo

# The program, its man pages, completions for three shells, and units for systemd,
# which start nothing before they are enabled.
share = $(DESTDIR)$(PREFIX)/share
install: $(BIN)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/systemd/system $(share)/man/man1 \
		$(share)/bash-completion/completions $(share)/zsh/site-functions $(share)/fish/vendor_completions.d
	install -m 755 $(BIN) $(DESTDIR)$(PREFIX)/bin/distkeep
	$(BIN) generate man $(share)/man/man1
	$(BIN) generate bash >$(share)/bash-completion/completions/distkeep
	$(BIN) generate zsh >$(share)/zsh/site-functions/_distkeep
	$(BIN) generate fish >$(share)/fish/vendor_completions.d/distkeep.fish
	set -e; for u in cmd/distkeep/systemd/*; do \
		sed 's,/usr/local/bin/,$(PREFIX)/bin/,' $$u >$(DESTDIR)$(PREFIX)/lib/systemd/system/$${u##*/}; done

clean:
	rm -rf bin demo cover.out
