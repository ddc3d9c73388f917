EAPI=8
DESCRIPTION="A module that distkeep is built with"
SRC_URI="mirror://goproxy/github.com/!burnt!sushi/toml/@v/v1.5.0.mod -> github.com%2F!burnt!sushi%2Ftoml%2F@v%2Fv1.5.0.mod mirror://goproxy/github.com/!burnt!sushi/toml/@v/v1.5.0.zip -> github.com%2F!burnt!sushi%2Ftoml%2F@v%2Fv1.5.0.zip"
SLOT=0
