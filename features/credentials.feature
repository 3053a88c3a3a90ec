@http
Feature: What a user may do

  An operator gives each user privileges, filters for the values that he may use, and
  defaults for what he leaves out.

  Scenario Outline: A privilege that was taken away: <key>
    Given the user "foo" has:
      | authorization <key> | no |
    And a running gateway
    When the request "/send?username=foo&password=bar&to=06222172&<query>" is made
    Then the answer is 400 Error "Authorization failed for user [foo] (<text>)."

    Examples:
      | key                    | query                                             | text                                         |
      | http_send              | content=x                                         | Cannot send MT messages                      |
      | src_addr               | content=x&from=1234                               | Setting source address not authorized        |
      | priority               | content=x&priority=1                              | Setting priority not authorized              |
      | validity_period        | content=x&validity-period=60                      | Setting validity period not authorized       |
      | schedule_delivery_time | content=x&sdt=000000000100000R                    | Setting schedule delivery time not authorized |
      | hex_content            | hex-content=00                                    | Setting hex content not authorized           |
      | dlr_level              | content=x&dlr-url=http://127.0.0.1/&dlr-level=2    | Setting dlr level not authorized             |
      | http_dlr_method        | content=x&dlr-url=http://127.0.0.1/&dlr-method=GET | Setting dlr method not authorized            |

  Scenario Outline: A privilege of another request: <key>
    Given the user "foo" has:
      | authorization <key> | no |
    And a running gateway
    When the request "<request>" is made
    Then the answer is 400 "Authorization failed for user [foo] (<text>)."

    Examples:
      | key          | request                                      | text                 |
      | http_balance | /balance?username=foo&password=bar           | Cannot check balance |
      | http_rate    | /rate?username=foo&password=bar&to=06222172  | Cannot check rate    |

  Scenario Outline: A value that is filtered: <filter>
    Given the user "foo" has:
      | valuefilter <filter> | <pattern> |
    And a running gateway
    When the request "/send?username=foo&password=bar&to=06222172&<query>" is made
    Then the answer is 400 Error "Value filter failed for user [foo] (<name> filter mismatch)."

    Examples:
      | filter          | pattern  | query                        | name                |
      | src_addr        | ^JASMIN$ | content=x&from=JASMINE       | source_address      |
      | dst_addr        | ^33      | content=x                    | destination_address |
      | content         | ^hello   | content=goodbye              | content             |
      | priority        | ^[01]$   | content=x&priority=2         | priority            |
      | validity_period | ^60$     | content=x&validity-period=61 | validity_period     |

  Scenario: A default source address
    Given the user "foo" has:
      | defaultvalue src_addr | ACME |
    And a running gateway
    When a message is sent
    Then it is accepted
    And the SMSC gets a message with:
      | source_addr | ACME |

  Scenario: Too many messages a second
    Given the user "foo" has:
      | quota http_throughput | 0.001 |
    And a running gateway
    When a message is sent
    Then it is accepted
    When the request "/send?username=foo&password=bar&to=06222172&content=x" is made
    Then the answer is 403 Error "User throughput exceeded"
