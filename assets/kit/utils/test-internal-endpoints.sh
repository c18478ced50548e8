#!/bin/bash
# Asks the installed services whether they are there; the last argument is the domain.
domain=${!#}
failed=0
for name in api-internal iam minio kafka; do
  code=$(curl -sk -o /dev/null -w '%{http_code}' "https://$name.$domain/")
  echo "$name.$domain: $code"
  [ "$code" = 200 ] || failed=1
done
exit $failed
