@http @content
Feature: Optional parameters of vendors

  A customer adds TLVs of the SMSC's vendor to a message. The operator says for each connector
  what they must be.

  Scenario Outline: A value gets its type from the request or from the connector: <value>
    Given the connector has:
      | custom_tlvs | 0x1400,Int4,4;0x1401,COctetString,- |
    And a running gateway
    When a message is sent by <method> with:
      | custom_tlvs | <value> |
    Then it is accepted
    And the SMSC gets 1 part with the TLVs:
      | <tag> | <octets> |

    Examples:
      | method | value                        | tag    | octets           |
      | GET    | {"0x1400": 7}                | 0x1400 | 00000007         |
      | POST   | {"5120": "258"}              | 0x1400 | 00000102         |
      | JSON   | {"0x1400:Int2": 1}           | 0x1400 | 0001             |
      | GET    | {"0x1401": "é1"}             | 0x1401 | c3a93100         |
      | POST   | {"0x1402": 17071672056}      | 0x1402 | 3137303731363732303536 |
      | JSON   | [[5122, null, "Int2", 65535]] | 0x1402 | ffff            |

  Scenario: Every part of a long message has them
    Given a running gateway
    When a message is sent with:
      | content     | {a*400}                              |
      | custom_tlvs | {"0x1401:Int1": 1, "0x1400": "1707"} |
    Then it is accepted
    And the SMSC gets 3 parts with the TLVs:
      | 0x1401 | 01       |
      | 0x1400 | 31373037 |

  Scenario Outline: What breaks the rules of the connector is refused: <value>
    Given the connector has:
      | custom_tlvs | 0x1400,Int4,4,required;0x1401,OctetString,3 |
    And a running gateway
    When a message is sent with:
      | custom_tlvs | <value> |
    Then the answer is 400 Error "<text>"

    Examples:
      | value                        | text                                                                                     |
      | (none)                       | custom TLV 0x1400 is required                                                            |
      | {"0x1402": 1}                | custom TLV 0x1400 is required                                                            |
      | {"0x1400": "x"}              | custom TLV 0x1400 of type Int4: invalid value "x", must be a number of 4 octets          |
      | {"0x1400:Int8": 1}           | custom TLV 0x1400 has 8 octets, at most 4 are allowed                                    |
      | {"0x1400": 1, "0x1401": "1234"} | custom TLV 0x1401 has 4 octets, at most 3 are allowed                                 |
      | {"0x1400": 1                 | Argument [custom_tlvs] has an invalid value: is not valid JSON: it ends too early.       |
      | {"0x0424": "x"}              | Argument [custom_tlvs] has an invalid value: tag "0x0424" is not in 0x1400 to 0x3FFF.    |

  Scenario: The rules are those of the connector that the message is routed to
    Given a connector "main" to the SMSC "one"
    And a connector "france" to the SMSC "two"
    And the connector "france" has:
      | custom_tlvs | 0x1400,Int2,2,required |
    And everything is routed to "main"
    And numbers that begin with "33" are routed to "france"
    And a running gateway
    When a message is sent with:
      | custom_tlvs | {"0x1400": "7"} |
    Then it is accepted
    And the SMSC "one" gets 1 part with the TLVs:
      | 0x1400 | 37 |
    When a message is sent with:
      | to          | 33612345678     |
      | custom_tlvs | {"0x1400": "7"} |
    Then it is accepted
    And the SMSC "two" gets 1 part with the TLVs:
      | 0x1400 | 0007 |
    When a message is sent with:
      | to | 33612345678 |
    Then the answer is 400 Error "custom TLV 0x1400 is required"

  @interception
  Scenario: A script sees and changes them
    Given the connector has:
      | custom_tlvs | 0x1400,Int4,4 |
    And messages are intercepted by the script:
      """
      tag, length, kind, value = routable.pdu.custom_tlvs[0]
      assert (tag, length, kind, value) == (0x1400, None, None, '7'), routable.pdu.custom_tlvs
      routable.pdu.custom_tlvs.append((0x1401, None, 'COctetString', 'seen'))
      """
    And a running gateway
    When a message is sent with:
      | custom_tlvs | {"0x1400": "7"} |
    Then it is accepted
    And the SMSC gets 1 part with the TLVs:
      | 0x1400 | 00000007   |
      | 0x1401 | 7365656e00 |
