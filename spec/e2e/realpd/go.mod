module tikv-operator/spec/e2e/realpd

go 1.25.0

require (
	github.com/BurntSushi/toml v1.5.0
	github.com/gogo/protobuf v1.3.2
	github.com/pingcap/kvproto v0.0.0-20260810080205-543bb79c8a8a
	google.golang.org/grpc v1.82.1
)

require (
	github.com/golang/protobuf v1.5.4 // indirect
	golang.org/x/net v0.53.0 // indirect
	golang.org/x/sys v0.43.0 // indirect
	golang.org/x/text v0.36.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260414002931-afd174a4e478 // indirect
	google.golang.org/protobuf v1.36.11 // indirect
)
