EAPI=8
DESCRIPTION="A module that distkeep is built with"
SRC_URI="mirror://goproxy/github.com/hashicorp/go-retryablehttp/@v/v0.7.8.mod -> github.com%2Fhashicorp%2Fgo-retryablehttp%2F@v%2Fv0.7.8.mod mirror://goproxy/github.com/hashicorp/go-retryablehttp/@v/v0.7.8.zip -> github.com%2Fhashicorp%2Fgo-retryablehttp%2F@v%2Fv0.7.8.zip"
SLOT=0
