@console
Feature: An installation of the original moves in

  The operator stops the original and starts jasmind on its files. Users log in with the passwords
  that they have, or are refused as before; routes route and prices are the same.

  Scenario Outline: The profile in the store is taken at start
    Given the store holds a profile of the original in protocol <protocol>
    And a gateway that nobody has configured
    # alice has a value filter with a look-ahead, a balance, and may bind from other addresses than this one.
    When the request "/balance?username=alice&password=s3cr3t-A" is made
    Then the answer is 200 {"balance": 125.75, "sms_count": 5000}
    When the request "/send?username=alice&password=s3cr3t-A&from=ACME&to=33900123456&content=hi" is made
    Then the answer is 400 Error "Value filter failed for user [alice] (destination_address filter mismatch)."
    And "alice" binding as transmitter with password "s3cr3t-A" is answered ESME_RBINDFAIL
    When the request "/balance?username=alice&password=s3cr3t-B" is made
    Then the answer is 403 "Authentication failure for username:alice"
    # carol is disabled, and bob's group is.
    When the request "/balance?username=carol&password=carolpw" is made
    Then the answer is 403 "Authentication failure for username:carol"
    And "carol" binding as transmitter with password "carolpw" is answered ESME_RINVPASWD
    And "bob" binding as transmitter with password "p@ss bob" is answered ESME_RINVPASWD
    When the operator logs in
    And he types "group -e trial"
    Then he is told "Successfully enabled Group id:trial"
    And "bob" binding as transmitter with password "p@ss bob" is answered ESME_ROK
    When the request "/balance?username=bob&password=p%40ss+bob" is made
    Then the answer is 200 {"balance": "ND", "sms_count": "ND"}
    When he types "mtrouter -l"
    Then he is told, among other things, "Total MT Routes: 4"
    # Without the route that looks at the time of day, alice has that of her group, then that of her own, then the default.
    When he types "mtrouter -r 40"
    And the request "/rate?username=alice&password=s3cr3t-A&to=447911123456" is made
    Then the answer is 200 {"unit_rate": 0.02, "submit_sm_count": 1}
    When he types "mtrouter -r 30"
    And the request "/rate?username=alice&password=s3cr3t-A&to=447911123456" is made
    Then the answer is 200 {"unit_rate": 0.0355, "submit_sm_count": 1}
    When the request "/rate?username=alice&password=s3cr3t-A&to=33612345678" is made
    Then the answer is 200 {"unit_rate": 0.012, "submit_sm_count": 1}
    When he types "smppccm -s carrier_a"
    Then he is told, among other things, "host smsc-a.example.net"
    When he types "smppccm -s carrier-b"
    Then he is told, among other things, "ssl_verify no"

    Examples:
      | protocol |
      | 2        |
      | 5        |
