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

  Scenario: Long content is a privilege
    Given the user "foo" has:
      | authorization http_long_content | no |
    And a running gateway
    When a message is sent with:
      | content | {x*161} |
    Then the answer is 400 Error "Authorization failed for user [foo] (Long content not authorized)."
    When a message is sent with:
      | content | {x*160} |
    Then it is accepted

  Scenario Outline: A user who is disabled, <how>, is nobody at any door until he is enabled
    Given the user "foo" with password "bar"
    And a running gateway
    When "foo" binds as transceiver
    And <how> is disabled
    And the provisioning file is loaded again
    Then every session of "foo" has ended
    And "foo" binding as transceiver with password "bar" is answered ESME_RINVPASWD
    When a message is sent
    Then the answer is 403 Error "Authentication failure for username:foo"
    When the request "/balance?username=foo&password=bar" is made
    Then the answer is 403 "Authentication failure for username:foo"
    When the request "/rate?username=foo&password=bar&to=06222172" is made
    Then the answer is 403 "Authentication failure for username:foo"
    When the gateway stops
    And the gateway starts again
    And a message is sent
    Then the answer is 403 Error "Authentication failure for username:foo"
    And "foo" binding as transmitter with password "bar" is answered ESME_RINVPASWD
    When <how> is enabled
    And the provisioning file is loaded again
    And a message is sent
    Then the SMSC gets the message
    And "foo" binding as transceiver with password "bar" is answered ESME_ROK

    Examples:
      | how            |
      | the user "foo" |
      | the group      |

  @esme
  Scenario Outline: An ESME's privileges and values: <credential>
    Given the user "foo" has:
      | <credential> | <value> |
    And a running gateway
    When "foo" binds as transceiver
    And "foo" submits a message with:
      | <field> | <wrong> |
    Then "foo" is answered <status>
    When "foo" submits a message with:
      | <field> | <right> |
    Then "foo" is answered ESME_ROK
    And the SMSC gets 1 message
    And the SMSC gets nothing else

    Examples:
      | credential                    | value  | field               | wrong            | status          | right            |
      | authorization src_addr        | no     | from                | ACME             | ESME_RINVSYSID  |                  |
      | authorization priority        | no     | priority_flag       | 1                | ESME_RINVSYSID  | 0                |
      | authorization validity_period | no     | validity_period     | 000000010000000R | ESME_RINVSYSID  |                  |
      | authorization dlr_level       | no     | registered_delivery | 1                | ESME_RINVSYSID  | 0                |
      | valuefilter src_addr          | ^BANK$ | from                | ACME             | ESME_RINVSRCADR | BANK             |
      | valuefilter content           | (?:hello\|mark) | text      | goodbye          | ESME_RSYSERR    | hello you        |
      | valuefilter dst_addr          | ^(?:33\|0999) | to          | 44123            | ESME_RINVDSTADR | 33123            |
      | valuefilter priority          | ^[01]$ | priority_flag       | 2                | ESME_RINVPRTFLG | 1                |
      | valuefilter validity_period   | ^60$   | validity_period     | 000000020000000R | ESME_RINVEXPIRY | 000000010000000R |

  @esme
  Scenario Outline: The privilege to send is one of each door: without <key>
    Given the user "foo" has:
      | authorization <key> | no |
    And a running gateway
    When "foo" binds as transceiver
    And "foo" submits a message
    Then "foo" is answered <status>
    When a message is sent
    Then the answer is <answer>

    Examples:
      | key        | status         | answer                                                                        |
      | smpps_send | ESME_RINVSYSID | 200                                                                           |
      | http_send  | ESME_ROK       | 400 Error "Authorization failed for user [foo] (Cannot send MT messages)."    |

  @esme
  Scenario: A default source address for an ESME that gives none
    Given the user "foo" has:
      | defaultvalue src_addr | BANK |
    And a running gateway
    When "foo" binds as transceiver
    And "foo" submits a message with:
      | from |  |
    Then "foo" is answered ESME_ROK
    And the SMSC gets a message with:
      | source_addr | BANK |

  @esme
  Scenario: An ESME submits too many messages a second
    Given the user "foo" has:
      | quota smpps_throughput | 0.001 |
    And a running gateway
    When "foo" binds as transceiver
    And "foo" submits a message
    Then "foo" is answered ESME_ROK
    When "foo" submits a message
    Then "foo" is answered ESME_RTHROTTLED
    When a message is sent
    Then it is accepted

  @esme
  Scenario Outline: The SMPP server's credential <credential> <value>
    Given the user "foo" has at the SMPP server:
      | <credential> | <value> |
    And a running gateway
    Then "foo" binding as transceiver with password "bar" is answered <first>
    And "foo" binding as receiver with password "bar" is answered <second>
    And "foo" binding as transmitter with password "bar" is answered <third>

    Examples:
      | credential         | value                   | first          | second         | third          |
      | authorization bind | yes                     | ESME_ROK       | ESME_ROK       | ESME_ROK       |
      | authorization bind | no                      | ESME_RBINDFAIL | ESME_RBINDFAIL | ESME_RBINDFAIL |
      | quota max_bindings | 2                       | ESME_ROK       | ESME_ROK       | ESME_RBINDFAIL |
      | quota max_bindings | none                    | ESME_ROK       | ESME_ROK       | ESME_ROK       |
      | authorization ip   | 10.0.0.0/8,2001:db8::1  | ESME_RBINDFAIL | ESME_RBINDFAIL | ESME_RBINDFAIL |
      | authorization ip   | 10.0.0.0/8,127.0.0.1/32 | ESME_ROK       | ESME_ROK       | ESME_ROK       |
