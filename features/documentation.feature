@http
Feature: The examples of the documentation of the HTTP API

  What a customer copies from Jasmin's documentation works. The programs are in testdata/documentation; a table
  has the requests that each of them makes, and where its interpreter is not installed these are made without it.

  Scenario: The first message, from a browser
    Given a running gateway
    When the request "/send?username=foo&password=bar&to=06222172&content=hello" is made
    Then it is accepted
    And the SMSC gets a message with:
      | destination_addr | 06222172 |
      | text             | hello    |

  Scenario: Python, the fewest parameters and an originating address
    Given a running gateway
    When the program "first.py" asks for:
      | /send?username=foo&password=bar&to=%2B336222172&content=Hello                  |
      | /send?username=foo&password=bar&to=%2B336222172&content=Hello&from=Jasmin+GW   |
    Then all its requests are accepted
    And it prints what it was answered
    And the SMSC gets a message with:
      | destination_addr | +336222172 |
      | source_addr      |            |
      | text             | Hello      |
    And the SMSC gets a message with:
      | destination_addr | +336222172 |
      | source_addr      | Jasmin GW  |
      | text             | Hello      |

  Scenario: Python, a receipt of the terminal's
    Given a running gateway
    When the program "dlr.py" asks for:
      | /send?username=foo&password=bar&to=%2B336222172&content=Hello&dlr-url=<page>&dlr-level=2 |
    Then all its requests are accepted
    And it prints what it was answered
    And the SMSC gets a message with:
      | registered_delivery | 1 |
    And the page is called by POST with exactly:
      | id             | <id>             |
      | message_status | DELIVRD          |
      | level          | 2                |
      | connector      | abc              |
      | id_smsc        | <id at the SMSC> |
      | subdate        | <date>           |
      | donedate       | <date>           |
      | sub            | 001              |
      | dlvrd          | 001              |
      | err            | 000              |
      | text           | Hello            |
    And the page is not called any more

  Scenario: Python, more than 160 characters
    Given a running gateway
    When the program "long.py" asks for:
      | /send?username=foo&password=bar&to=%2B336222172&content=Very+long+message+{.*180} |
    Then all its requests are accepted
    And it prints what it was answered
    And the SMSC gets the parts:
      | part          | characters | data_coding |
      | 1 of 2 by udh | 153        | 0           |
      | 2 of 2 by udh | 45         | 0           |
    And the parts read "Very long message {.*180}" together

  Scenario: Python, Arabic as content
    Given a running gateway
    When the program "ucs2.py" asks for:
      | /send?username=foo&password=bar&to=%2B336222172&content=%06%23%061%06F%06%28&coding=8 |
    Then all its requests are accepted
    And it prints what it was answered
    And the SMSC gets a message with:
      | data_coding   | 8                |
      | short_message | 0623063106460628 |
      | text          | أرنب             |

  Scenario: Python, Arabic as hex-content, for which the documentation forgets to take the content out
    Given a running gateway
    When the program "hex.py" asks for:
      | /send?username=foo&password=bar&to=%2B336222172&content=Hello&hex-content=0623063106460628&coding=8 |
      | /send?username=foo&password=bar&to=%2B336222172&hex-content=0623063106460628&coding=8               |
    Then request 1 is answered 400 Error "content and hex-content cannot be used both in same request."
    And it is accepted
    And it prints what it was answered
    And the SMSC gets a message with:
      | data_coding   | 8                |
      | short_message | 0623063106460628 |
      | text          | أرنب             |

  Scenario: PHP
    Given a running gateway
    When the program "first.php" asks for:
      | /send?username=foo&password=bar&to=%2B336222172&content=Hello+world+%21 |
    Then all its requests are accepted
    And it prints what it was answered
    And the SMSC gets a message with:
      | destination_addr | +336222172    |
      | text             | Hello world ! |

  Scenario: Ruby
    Given a running gateway
    When the program "first.rb" asks for:
      | /send?username=foo&password=bar&to=%2B336222172&content=Hello+world |
    Then all its requests are accepted
    And it prints what it was answered
    And the SMSC gets a message with:
      | destination_addr | +336222172  |
      | text             | Hello world |

  Scenario: The balance
    Given the user "foo" has:
      | quota balance | 100 |
    And a running gateway
    When the program "balance.py" asks for:
      | /balance?username=foo&password=bar |
    Then the answer is 200 {"balance": 100.0, "sms_count": "ND"}
    And it prints:
      """
      Balance: 100.0
      SMS Count: ND
      """

  Scenario: The rate
    Given a message part costs 2.8
    And the user "foo" has:
      | quota balance | 100 |
    And a running gateway
    When the program "rate.py" asks for:
      | /rate?username=foo&password=bar&to=06222172 |
    Then the answer is 200 {"unit_rate": 2.8, "submit_sm_count": 1}
    And it prints:
      """
      Unit rate price: 2.8
      Units: 1
      """
    When the request "/rate?username=foo&password=bar&to=06222172&content=Very+long+message+..........................................................................................................................................................." is made
    Then the answer is 200 {"unit_rate": 2.8, "submit_sm_count": 2}

  Scenario Outline: Billing, <n> messages at a rate of <rate>
    Given a message part costs <rate>
    And the user "foo" has:
      | quota balance   | 10 |
      | quota sms_count | 20 |
    And a running gateway
    When 1 clients send <n> messages each
    Then every answer was a Success
    And "foo" has a balance of <balance> and an sms_count of <count>

    Examples:
      | n | rate | balance | count |
      | 1 | 1.2  | 8.8     | 19    |
      | 5 | 0.2  | 9.0     | 15    |
      | 5 | 0    | 10.0    | 15    |

  Scenario Outline: Asynchronous billing of 25 percent, <n> messages at a rate of <rate>
    Given a message part costs <rate>
    And the user "foo" has:
      | quota balance       | 10 |
      | quota early_percent | 25 |
    And the SMSC is down
    And a running gateway
    When 1 clients send <n> messages each
    Then every answer was a Success
    And "foo" has a balance of <sent> and an sms_count of "ND"
    When the SMSC comes up
    Then the SMSC gets <n> messages
    And "foo" has a balance of <answered> and an sms_count of "ND"

    Examples:
      | n | rate | sent | answered |
      | 1 | 1.2  | 9.7  | 8.8      |
      | 5 | 0.2  | 9.75 | 9.0      |

  Scenario Outline: The user of the documentation, whose credentials are <what>
    Given the user "foo" has:
      | valuefilter src_addr   | ^JASMIN$ |
      | quota balance          | 44.2     |
      | quota sms_count        | none     |
      | quota smpps_throughput | 2        |
    And a running gateway
    When a message is sent with:
      | from | <from> |
    Then the answer is <answer>
    And "foo" has a balance of 44.2 and an sms_count of "ND"

    Examples:
      | what                | from    | answer                                                                          |
      | those of the sender | JASMIN  | 200                                                                             |
      | another's           | JASMINE | 400 Error "Value filter failed for user [foo] (source_address filter mismatch)." |

  Scenario: Requests that lack something, with the documentation's texts
    Given a running gateway
    When the request "/send" is made
    Then the answer is 400 Error "Mandatory argument [to] is not found."
    When the request "/balance" is made
    Then the answer is 400 "Mandatory arguments not found, please refer to the HTTPAPI specifications."
    When the request "/rate?username=foo&password=bar" is made
    Then the answer is 400 "Mandatory argument [to] is not found."
    When the request "/balance?username=foo&password=no" is made
    Then the answer is 403 "Authentication failure for username:foo"

  Scenario: A price that nobody can be told
    Given no route
    And a running gateway
    When the request "/rate?username=foo&password=bar&to=06222172" is made
    Then the answer is 412 "No route found"

  Scenario: The metrics
    Given the user "foo" with password "bar"
    And a running gateway
    When a message is sent
    Then the SMSC gets the message
    And "foo" binding as transceiver with password "bar" is answered ESME_ROK
    When the request "/metrics" is made
    Then the answer is 200, with the counters:
      | httpapi_request_count                |
      | httpapi_interceptor_count            |
      | httpapi_auth_error_count             |
      | httpapi_route_error_count            |
      | httpapi_interceptor_error_count      |
      | httpapi_throughput_error_count       |
      | httpapi_charging_error_count         |
      | httpapi_server_error_count           |
      | httpapi_success_count                |
      | smppc_connected_count                |
      | smppc_disconnected_count             |
      | smppc_bound_count                    |
      | smppc_submit_sm_request_count        |
      | smppc_submit_sm_count                |
      | smppc_deliver_sm_count               |
      | smppc_data_sm_count                  |
      | smppc_interceptor_count              |
      | smppc_elink_count                    |
      | smppc_throttling_error_count         |
      | smppc_interceptor_error_count        |
      | smppc_other_submit_error_count       |
      | smppsapi_connected_count             |
      | smppsapi_connect_count               |
      | smppsapi_disconnect_count            |
      | smppsapi_interceptor_count           |
      | smppsapi_bound_trx_count             |
      | smppsapi_bound_rx_count              |
      | smppsapi_bound_tx_count              |
      | smppsapi_bind_trx_count              |
      | smppsapi_bind_rx_count               |
      | smppsapi_bind_tx_count               |
      | smppsapi_unbind_count                |
      | smppsapi_submit_sm_request_count     |
      | smppsapi_submit_sm_count             |
      | smppsapi_deliver_sm_count            |
      | smppsapi_data_sm_count               |
      | smppsapi_elink_count                 |
      | smppsapi_throttling_error_count      |
      | smppsapi_interceptor_error_count     |
      | smppsapi_other_submit_error_count    |
